// @vitest-environment jsdom
import { afterEach, describe, expect, it } from 'vitest'
import { mendLocale } from './locale'

const set = (value: string) => Object.defineProperty(navigator, 'language', { value, configurable: true })

describe('mendLocale', () => {
  afterEach(() => set('en-US'))

  it('replaces a language that Intl refuses, and no other', () => {
    set('en-US@posix')
    mendLocale()
    expect(navigator.language).toBe('en-US')
    set('de-DE')
    mendLocale()
    expect(navigator.language).toBe('de-DE')
  })
})
