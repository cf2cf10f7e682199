import { expect, it } from 'vitest'
import { curl } from './export'
import { hiddenAfter, letter, texts } from './rows'

it('writes a command that quotes what the shell would read', () => {
  const question = { expression: `x{a='b'}`, range: { start: 1000, end: 61_000 }, step: 15 }
  expect(curl('http://h', question)).toBe(
    [
      `curl -G 'http://h/api/v1/query_range' \\`,
      `  -H "Authorization: Bearer $OPHION_API_KEY" \\`,
      `  --data-urlencode 'query=x{a='\\''b'\\''}' \\`,
      `  --data-urlencode 'start=1' \\`,
      `  --data-urlencode 'end=61' \\`,
      `  --data-urlencode 'step=15'`,
    ].join('\n'),
  )
  expect(curl('http://h', { ...question, instant: true })).toContain('time=61')
})

it('names queries by letters and leaves out empty ones', () => {
  expect([0, 25, 26, 27].map(letter)).toEqual(['A', 'Z', 'AA', 'AB'])
  expect(hiddenAfter(['A', 'C'], 0, 3)).toEqual(['B'])
  expect(hiddenAfter(['A', 'C'], 1, 3)).toEqual(['A', 'B'])
  expect(texts([{ id: 1, draft: ' up ' }, { id: 2, draft: ' ' }])).toEqual(['up'])
})
