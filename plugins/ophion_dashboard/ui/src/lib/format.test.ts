import { describe, expect, it } from 'vitest'
import { bytes, duration, formatter, isBinary, percent, short } from './format'

describe('short', () => {
  it('keeps three digits', () => {
    expect([0, 1, 1.5, 12.34, 999.6, 1234, 45_600_000, 0.00001, Number.NaN, -2500].map(short)).toEqual([
      '0', '1', '1.5', '12.3', '1000', '1.23k', '45.6M', '1.0e-5', '-', '-2.5k',
    ])
  })
})

describe('bytes', () => {
  it('counts in powers of 1024', () => {
    expect([0, 512, 2048, 1.5 * 1024 ** 3].map(bytes)).toEqual(['0 B', '512 B', '2 KiB', '1.5 GiB'])
  })

  it('is what units of bytes are counted in', () => {
    expect(['By', 'By/s', 'bytes', 's', '', undefined].map(isBinary)).toEqual([true, true, true, false, false, false])
  })
})

describe('duration', () => {
  it('chooses its unit', () => {
    expect([12, 1500, 2.5e6, 1.25e9, 200e9, 90_000e9].map(duration)).toEqual(['12 ns', '1.5 µs', '2.5 ms', '1.25 s', '3 min 20 s', '1 d 1 h'])
  })
})

describe('percent', () => {
  it('takes fractions', () => {
    expect([0, 0.0123, 0.5, 1].map(percent)).toEqual(['0 %', '1.23 %', '50 %', '100 %'])
  })
})

describe('formatter', () => {
  it('knows units, and writes those it does not know', () => {
    expect(formatter('By')(1024)).toBe('1 KiB')
    expect(formatter('s')(0.25)).toBe('250 ms')
    expect(formatter('{order}')(3)).toBe('3')
    expect(formatter('Cel')(21)).toBe('21 Cel')
  })
})
