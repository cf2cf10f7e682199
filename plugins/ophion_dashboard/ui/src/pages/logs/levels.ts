import type { Level } from './records'

const LIGHT: Record<Level, string> = {
  fatal: '#7a1b6b',
  error: '#c5281c',
  warn: '#c98500',
  info: '#3d7fc4',
  debug: '#8793a3',
  trace: '#b1bac5',
  unspecified: '#98a1ad',
}

const DARK: Record<Level, string> = {
  fatal: '#f08be0',
  error: '#ff7c70',
  warn: '#e8b04a',
  info: '#5c9ded',
  debug: '#7b8897',
  trace: '#566170',
  unspecified: '#6b7787',
}

/** Colours of levels in charts and lists; the level stands there in words too. */
export function levelColor(level: Level, dark: boolean): string {
  return (dark ? DARK : LIGHT)[level]
}
