import { useNavigate } from '@tanstack/react-router'
import { useEffect } from 'react'
import { tinykeys } from 'tinykeys'
import { PLACES } from './navigation'
import { useTime } from './time'

export interface Doing {
  palette: () => void
  help: () => void
  toggleNav: () => void
}

/** Keys with what they do, as the help shows them. */
export const KEYS: readonly (readonly [string, string])[] = [
  ['/', 'search on this page'],
  ['Ctrl K', 'find pages, services and commands'],
  ['?', 'this list'],
  ['r', 'refresh now'],
  ['[', 'fold the list of pages'],
  ['Esc', 'close what is open'],
  ['↑ ↓', 'move in lists, Enter opens'],
  ...PLACES.map((place) => [`g ${place.key}`, `go to ${place.name}`] as const),
]

function isTyping(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement
  return target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName) || event.defaultPrevented
}

function focusSearch(): void {
  const field = document.querySelector<HTMLElement>('[data-main-search], [data-main-search] [contenteditable], main input[type=search]')
  field?.focus()
}

/** The keys that work on every page. */
export function useShortcuts({ palette, help, toggleNav }: Doing): void {
  const navigate = useNavigate()
  const { reload } = useTime()
  useEffect(() => {
    const plain = (run: () => void) => (event: KeyboardEvent) => {
      if (isTyping(event)) return
      event.preventDefault()
      run()
    }
    const keys: Record<string, (event: KeyboardEvent) => void> = {
      '/': plain(focusSearch),
      'Shift+?': plain(help),
      r: plain(reload),
      '[': plain(toggleNav),
      '$mod+k': (event) => {
        event.preventDefault()
        palette()
      },
    }
    for (const place of PLACES) keys[`g ${place.key}`] = plain(() => void navigate({ to: place.path as '/' }))
    return tinykeys(window, keys)
  }, [navigate, reload, palette, help, toggleNav])
}
