import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from 'react'
import { remember, remembered } from '@/lib/storage'

export type ThemeChoice = 'light' | 'dark' | 'system'

interface Theme {
  choice: ThemeChoice
  dark: boolean
  choose: (choice: ThemeChoice) => void
}

const ThemeContext = createContext<Theme | null>(null)
const PREFERS_DARK = '(prefers-color-scheme: dark)'

function initialChoice(): ThemeChoice {
  const choice = remembered('theme')
  return choice === 'light' || choice === 'dark' ? choice : 'system'
}

function useSystemDark(): boolean {
  const [dark, setDark] = useState(() => matchMedia(PREFERS_DARK).matches)
  useEffect(() => {
    const query = matchMedia(PREFERS_DARK)
    const update = () => setDark(query.matches)
    query.addEventListener('change', update)
    return () => query.removeEventListener('change', update)
  }, [])
  return dark
}

/** Light, dark, or as the system prefers; the choice is kept in this browser. */
export function ThemeProvider({ children }: { children: ReactNode }) {
  const [choice, setChoice] = useState(initialChoice)
  const systemDark = useSystemDark()
  const dark = choice === 'system' ? systemDark : choice === 'dark'
  useEffect(() => {
    document.documentElement.dataset.theme = dark ? 'dark' : 'light'
  }, [dark])
  const theme = useMemo<Theme>(
    () => ({
      choice,
      dark,
      choose(next) {
        remember('theme', next)
        setChoice(next)
      },
    }),
    [choice, dark],
  )
  return <ThemeContext value={theme}>{children}</ThemeContext>
}

export function useTheme(): Theme {
  const theme = useContext(ThemeContext)
  if (!theme) throw new Error('useTheme needs a ThemeProvider')
  return theme
}
