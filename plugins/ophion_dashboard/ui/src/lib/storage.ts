/** What the browser keeps of a person's taste; a browser that keeps nothing is fine. */

export function remembered(key: string): string | null {
  try {
    return localStorage.getItem(`ophion.${key}`)
  } catch {
    return null
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(`ophion.${key}`, value)
  } catch (cause) {
    console.warn(`the browser keeps no settings: ${String(cause)}`)
  }
}
