/** Lines that differ only in what varies: numbers, ids, addresses, quoted text. */

export interface Pattern {
  pattern: string
  count: number
  levels: ReadonlySet<string>
  services: ReadonlySet<string>
  sample: string
}

interface Line {
  body: string
  severity: string
  service: string
}

const MASKS: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi, '<uuid>'],
  [/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?/g, '<time>'],
  [/\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b/g, '<address>'],
  [/\b(?=[0-9a-f]*\d)[0-9a-f]{12,}\b/gi, '<id>'],
  [/"[^"]*"|'[^']*'/g, '<text>'],
  [/\b\d+(?:\.\d+)?(?=\D|$)/g, '<n>'],
]

/** Return a line with what varies left out; at most 300 characters of it count. */
export function mask(body: string): string {
  return MASKS.reduce((text, [pattern, name]) => text.replace(pattern, name), body.slice(0, 300))
}

/** Return the patterns of lines, the most frequent first. */
export function patterns(lines: readonly Line[]): Pattern[] {
  const found = new Map<string, { count: number; levels: Set<string>; services: Set<string>; sample: string }>()
  for (const line of lines) {
    const key = mask(line.body)
    const group = found.get(key) ?? { count: 0, levels: new Set(), services: new Set(), sample: line.body }
    group.count += 1
    group.levels.add(line.severity)
    group.services.add(line.service)
    found.set(key, group)
  }
  return [...found].map(([pattern, group]) => ({ pattern, ...group })).sort((left, right) => right.count - left.count)
}

/** Return the words of a pattern that stand for themselves, to search for. */
export function searchOf(pattern: string): string {
  const words = pattern.split(/<\w+>/).flatMap((part) => part.match(/[\p{L}\d_]{2,}/gu) ?? [])
  return [...new Set(words)].slice(0, 12).join(' ')
}
