/** Some systems name their language in a way that `Intl` refuses (`en-US@posix`), and libraries ask no further. */
export function mendLocale(): void {
  try {
    new Intl.NumberFormat(navigator.language)
  } catch {
    Object.defineProperty(navigator, 'language', { value: 'en-US', configurable: true })
  }
}
