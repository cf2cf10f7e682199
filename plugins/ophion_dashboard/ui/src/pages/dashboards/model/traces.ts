/** The words of a search for traces: `service=checkout status=error min_duration=250ms root http.route=/cart`. */

export interface TraceWords {
  service?: string
  operation?: string
  kind?: string
  status?: string
  min_duration?: string
  max_duration?: string
  sort?: string
  root?: boolean
  attr: string[]
}

const WORD = /([\w.]+)\s*(>=|<=|!=|=~|=|>|<|:)\s*("(?:[^"\\]|\\.)*"|\/[^/]*\/|\S+)|(\S+)/g
const FIELDS = ['service', 'operation', 'kind', 'status', 'min_duration', 'max_duration', 'sort'] as const

export function readTraceWords(text: string): TraceWords {
  const words: TraceWords = { attr: [] }
  for (const [, key = '', operator = '', raw = '', bare = ''] of text.matchAll(WORD)) {
    if (bare) addBare(words, bare)
    else addPair(words, key, operator, unquoted(raw))
  }
  return words
}

function addBare(words: TraceWords, word: string): void {
  if (word === 'root') words.root = true
  else words.attr.push(word)
}

function addPair(words: TraceWords, key: string, operator: string, value: string): void {
  const field = FIELDS.find((one) => one === key)
  const pattern = /^\/(.*)\/$/.exec(value)?.[1]
  if (key === 'duration' && (operator === '>' || operator === '>=')) words.min_duration = value
  else if (key === 'duration' && (operator === '<' || operator === '<=')) words.max_duration = value
  else if (field && pattern !== undefined) words.attr.push(`${field === 'service' ? 'service.name' : field}=~${pattern}`)
  else if (field && (operator === '=' || operator === ':')) words[field] = value
  else words.attr.push(pattern === undefined ? `${key}${operator === ':' ? '=' : operator}${value}` : `${key}=~${pattern}`)
}

function unquoted(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text
}
