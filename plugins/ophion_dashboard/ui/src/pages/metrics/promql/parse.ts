/** Read PromQL back into the builder's model: undefined where the builder has no place for something. */
import { AGGREGATIONS, EMPTY, OPERATORS, OVER_TIME, type Aggregation, type Built, type Filter, type Operator, type OverTime } from './model'

const TOKEN = /\s*(?:("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(=~|!~|!=|[=(){}[\],])|([a-zA-Z_:][a-zA-Z0-9_:]*)|(\d+(?:\.\d+)?(?:ms|[smhdwy])?(?:\d+(?:ms|[smhdwy]))*|\$\{?\w+\}?))/y

interface Token {
  kind: 'text' | 'sign' | 'name' | 'number'
  text: string
}

export function tokens(source: string): Token[] | undefined {
  const found: Token[] = []
  const pattern = new RegExp(TOKEN)
  const text = source.trim()
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text)
    if (!match) return undefined
    const [, quoted, sign, name, number] = match
    if (quoted !== undefined) found.push({ kind: 'text', text: unquoted(quoted) })
    else if (sign !== undefined) found.push({ kind: 'sign', text: sign })
    else if (name !== undefined) found.push({ kind: 'name', text: name })
    else found.push({ kind: 'number', text: number ?? '' })
  }
  return found
}

const ESCAPES: Record<string, string> = { n: '\n', t: '\t', r: '\r' }

function unquoted(text: string): string {
  return text.slice(1, -1).replace(/\\(.)/g, (_, one: string) => ESCAPES[one] ?? one)
}

/** The source is nothing that the builder can show. */
class Beyond extends Error {}

class Reader {
  private at = 0

  constructor(private readonly list: readonly Token[]) {}

  peek(offset = 0): Token | undefined {
    return this.list[this.at + offset]
  }

  isSign(text: string, offset = 0): boolean {
    const token = this.peek(offset)
    return token?.kind === 'sign' && token.text === text
  }

  skip(text: string): boolean {
    if (!this.isSign(text)) return false
    this.at += 1
    return true
  }

  expect(text: string): void {
    if (!this.skip(text)) throw new Beyond()
  }

  take(...kinds: Token['kind'][]): string {
    const token = this.peek()
    if (!token || !kinds.includes(token.kind)) throw new Beyond()
    this.at += 1
    return token.text
  }

  end(): void {
    if (this.at < this.list.length) throw new Beyond()
  }
}

export function fromPromQL(source: string): Built | undefined {
  if (!source.trim()) return { ...EMPTY, filters: [], by: [] }
  const list = tokens(source)
  if (!list) return undefined
  const reader = new Reader(list)
  try {
    const built = readQuery(reader)
    reader.end()
    return built
  } catch (cause) {
    if (cause instanceof Beyond) return undefined
    throw cause
  }
}

function readQuery(reader: Reader): Built {
  if (reader.peek()?.text !== 'histogram_quantile' || !reader.isSign('(', 1)) return readAggregated(reader)
  reader.take('name')
  reader.expect('(')
  const quantile = Number(reader.take('number'))
  reader.expect(',')
  const inner = readAggregated(reader)
  reader.expect(')')
  const isBuckets = inner.aggregation === 'sum' && inner.by.includes('le') && inner.overTime !== ''
  if (!isBuckets || Number.isNaN(quantile)) throw new Beyond()
  return { ...inner, aggregation: '', by: inner.by.filter((label) => label !== 'le'), quantile }
}

function readAggregated(reader: Reader): Built {
  const name = reader.peek()
  const isAggregation = name?.kind === 'name' && (AGGREGATIONS as readonly string[]).includes(name.text)
  if (!isAggregation || !(reader.isSign('(', 1) || reader.peek(1)?.text === 'by')) return readOverTime(reader)
  const aggregation = reader.take('name') as Aggregation
  const before = readBy(reader)
  reader.expect('(')
  const inner = readOverTime(reader)
  reader.expect(')')
  return { ...inner, aggregation, by: before ?? readBy(reader) ?? [] }
}

function readBy(reader: Reader): string[] | undefined {
  if (reader.peek()?.text !== 'by') return undefined
  reader.take('name')
  reader.expect('(')
  const labels: string[] = []
  while (!reader.isSign(')')) {
    labels.push(reader.take('name', 'text'))
    if (!reader.skip(',')) break
  }
  reader.expect(')')
  return labels
}

function readOverTime(reader: Reader): Built {
  const name = reader.peek()?.text ?? ''
  const isCall = reader.isSign('(', 1)
  if (!isCall) return { ...EMPTY, ...readSelector(reader) }
  if (!(OVER_TIME as readonly string[]).includes(name)) throw new Beyond()
  reader.take('name')
  reader.expect('(')
  const inner = readSelector(reader)
  reader.expect('[')
  const window = reader.take('number')
  reader.expect(']')
  reader.expect(')')
  return { ...EMPTY, ...inner, overTime: name as OverTime, window }
}

function readSelector(reader: Reader): Pick<Built, 'metric' | 'filters' | 'by'> {
  let metric = reader.peek()?.kind === 'name' ? reader.take('name') : ''
  const filters: Filter[] = []
  if (reader.skip('{')) {
    while (!reader.isSign('}')) {
      const label = reader.take('name', 'text')
      if (!metric && (reader.isSign(',') || reader.isSign('}'))) metric = label
      else filters.push(readFilter(reader, label))
      if (!reader.skip(',')) break
    }
    reader.expect('}')
  }
  if (!metric) throw new Beyond()
  return { metric, filters, by: [] }
}

function readFilter(reader: Reader, label: string): Filter {
  const operator = reader.take('sign')
  if (!(OPERATORS as readonly string[]).includes(operator)) throw new Beyond()
  return { label, operator: operator as Operator, value: reader.take('text') }
}
