import { describe, expect, it } from 'vitest'
import { dashboardSearch } from '../search'
import { collides, compact, move, placeFor, resize, spoken, type Placed } from './layout'
import { unfolded } from './repeat'
import { readTraceWords } from './traces'
import { asKind, newPanel, nextId, type Variable } from './types'
import { heatCells, reduced, shares, thresholdColour, valueFormat, zeroFilled } from './values'
import { ALL, choose, fillLink, fillPromQL, fillSearch, fillText, namesIn, readLabelValues, type Values } from './variables'

const variable = (name: string, more: Partial<Variable> = {}): Variable => ({
  name, label: '', kind: 'custom', query: '', values: [], multi: false, include_all: false, default: [], ...more,
})
const values = (...all: [Variable, ...string[]][]): Values => new Map(all.map(([one, ...chosen]) => [one.name, { variable: one, values: chosen }]))
const CLOCK = { stepSeconds: 15, rangeSeconds: 3600 }
const host = variable('host')
const hosts = variable('hosts', { multi: true, include_all: true })

describe('variables in PromQL', () => {
  it('are escaped as text of a string', () => {
    expect(fillPromQL('x{h="$host"}', values([host, 'a"b\\c']), CLOCK)).toBe('x{h="a\\"b\\\\c"}')
  })

  it('are regular expressions where several can be chosen', () => {
    expect(fillPromQL('x{h=~"$hosts"}', values([hosts, 'a.b', 'c|d']), CLOCK)).toBe('x{h=~"(a\\\\.b|c\\\\|d)"}')
    expect(fillPromQL('x{h=~"${hosts}"}', values([hosts, 'a.b']), CLOCK)).toBe('x{h=~"a\\\\.b"}')
    expect(fillPromQL('x{h=~"$hosts"}', values([hosts, ALL]), CLOCK)).toBe('x{h=~".*"}')
    const some = new Map([['hosts', { variable: hosts, values: [ALL], all: ['a', 'b'] }]])
    expect(fillPromQL('x{h=~"$hosts"}', some, CLOCK)).toBe('x{h=~"(a|b)"}')
    expect(fillPromQL('x{h=~"${host:regex}"}', values([host, 'a.b']), CLOCK)).toBe('x{h=~"a\\\\.b"}')
  })

  it('cannot leave the string that they stand in', () => {
    const filled = fillPromQL('x{h="$host"}', values([host, '"} or secret{a="']), CLOCK)
    expect(filled).toBe('x{h="\\"} or secret{a=\\""}')
  })

  it('know the clock, and leave what has no value', () => {
    expect(fillPromQL('rate(x[$__rate_interval])', new Map(), CLOCK)).toBe('rate(x[60s])')
    expect(fillPromQL('rate(x[$__rate_interval])', new Map(), { ...CLOCK, stepSeconds: 120 })).toBe('rate(x[240s])')
    expect(fillPromQL('x[$__range] y[$__interval] $nothing', new Map(), CLOCK)).toBe('x[3600s] y[15s] $nothing')
  })
})

describe('variables elsewhere', () => {
  it('in searches are words, phrases, or patterns', () => {
    expect(fillSearch('service:$host error', values([host, 'shop']))).toBe('service:shop error')
    expect(fillSearch('service:$host', values([host, 'a "b"']))).toBe('service:"a \\"b\\""')
    expect(fillSearch('service:"$host"', values([host, 'a b']))).toBe('service:"a b"')
    expect(fillSearch('service:$hosts error', values([hosts, 'a', 'b']))).toBe('service:/^(a|b)$/ error')
    expect(fillSearch('error service:$hosts slow', values([hosts, ALL]))).toBe('error slow')
  })

  it('in titles and links are read by people and browsers', () => {
    expect(fillText('CPU of $hosts', values([hosts, 'a', 'b']))).toBe('CPU of a, b')
    expect(fillText('CPU of ${hosts}, $5', values([hosts, ALL]))).toBe('CPU of all, $5')
    expect(fillLink('/hosts/$host', values([host, 'a/b c']))).toBe('/hosts/a%2Fb%20c')
    expect(namesIn('a $x ${y:regex} $1')).toEqual(new Set(['x', 'y']))
  })

  it('are chosen by the URL, the default, or the first', () => {
    const offered = ['a', 'b']
    expect(choose(host, ['b', 'a'], offered)).toEqual(['b'])
    expect(choose(host, ['gone'], offered)).toEqual(['gone'])
    expect(choose(variable('h', { default: ['gone'] }), undefined, offered)).toEqual(['a'])
    expect(choose(hosts, undefined, offered)).toEqual([ALL])
    expect(choose(hosts, ['a', 'b'], offered)).toEqual(['a', 'b'])
    expect(choose(host, [ALL], offered)).toEqual([ALL])
    expect(choose(host, undefined, [])).toEqual([])
    expect(choose(variable('t', { kind: 'text', default: ['x'] }), undefined, undefined)).toEqual(['x'])
  })

  it('of kind query name a label', () => {
    expect(readLabelValues('label_values(host_name)')).toEqual({ selector: '', label: 'host_name' })
    expect(readLabelValues('label_values(up{job=~"a,b"}, host_name)')).toEqual({ selector: 'up{job=~"a,b"}', label: 'host_name' })
    expect(readLabelValues('values(x)')).toBeUndefined()
  })

  it('come from the URL only under their own names', () => {
    expect(dashboardSearch({ 'var-a': ['1', '2'], 'var-b': 'x', 'var-<b>': 'y', tv: 'true', cycle: '1', other: '1' })).toMatchObject({
      'var-a': ['1', '2'], 'var-b': ['x'], tv: true, cycle: 5,
    })
    expect(Object.keys(dashboardSearch({ 'var-<b>': 'y', other: '1' }))).not.toContain('var-<b>')
  })
})

const place = (id: number, x: number, y: number, w = 12, h = 4): Placed => ({ id, x, y, w, h })
const free = (items: readonly Placed[]) => items.every((one) => items.every((other) => one === other || !collides(one, other)))

describe('the grid', () => {
  const items = [place(1, 0, 0), place(2, 12, 0), place(3, 0, 4, 24)]

  it('lets everything fall up', () => {
    expect(compact([place(1, 0, 7), place(2, 0, 20)]).map((one) => one.y)).toEqual([0, 4])
    expect(compact([place(1, 20, 0)])[0]).toMatchObject({ x: 12 })
  })

  it('moves by keys: past neighbours up and down, by a column sideways', () => {
    const down = move(items, 1, 'down')
    expect(free(down)).toBe(true)
    expect(down.find((one) => one.id === 1)?.y).toBe(8)
    const up = move(items, 3, 'up')
    expect(up.map((one) => one.y)).toEqual([4, 4, 0])
    const right = move(items, 1, 'right')
    expect(right.find((one) => one.id === 1)).toMatchObject({ x: 1, y: 0 })
    expect(free(right)).toBe(true)
    expect(move(items, 2, 'right')).toEqual(items)
    expect(move(items, 1, 'up')).toEqual(items)
  })

  it('resizes by keys within its edges', () => {
    expect(resize(items, 3, 'right')).toEqual(items)
    const lower = resize(items, 1, 'down')
    expect(lower.find((one) => one.id === 3)?.y).toBe(5)
    expect(resize([place(1, 0, 0, 2, 2)], 1, 'left')[0]).toMatchObject({ w: 2, h: 2 })
  })

  it('finds room for a new panel', () => {
    expect(placeFor([], { w: 12, h: 8 })).toEqual({ x: 0, y: 0, w: 12, h: 8 })
    expect(placeFor([place(1, 0, 0, 12, 8)], { w: 12, h: 8 })).toMatchObject({ x: 12, y: 0 })
    expect(placeFor([place(1, 0, 0, 24, 8)], { w: 12, h: 8 })).toMatchObject({ x: 0, y: 8 })
  })

  it('says where a panel is', () => {
    expect(spoken('CPU', { x: 0, y: 2, w: 6, h: 3 })).toBe('CPU: column 1, row 3, 6 wide, 3 high')
  })
})

describe('panels', () => {
  it('repeat for each value, side by side', () => {
    const panel = { ...newPanel(7, 'stat', 'CPU of $hosts'), repeat: 'hosts', position: { x: 0, y: 0, w: 12, h: 4 } }
    const shown = unfolded([panel, { ...newPanel(8, 'text', 'T'), position: { x: 0, y: 4, w: 24, h: 2 } }], values([hosts, ALL]), () => ['a', 'b', 'c'])
    expect(shown.map((one) => one.key)).toEqual(['7:a', '7:b', '7:c', '8'])
    expect(shown.map((one) => one.panel.position.x)).toEqual([0, 12, 0, 0])
    expect(fillText(panel.title, shown[1]?.values ?? new Map())).toBe('CPU of b')
    expect(shown[3]?.panel.position.y).toBe(8)
  })

  it('change their kind with the questions that fit', () => {
    const panel = { ...newPanel(1, 'timeseries', 'x'), queries: [{ kind: 'promql' as const, expression: 'up', legend: '' }] }
    expect(asKind(panel, 'stat').queries[0]?.expression).toBe('up')
    expect(asKind(panel, 'logs').queries).toEqual([{ kind: 'logs', expression: '', legend: '' }])
    expect(asKind(panel, 'text').queries).toEqual([])
    expect(nextId([panel])).toBe(2)
  })

  it('reduce series to a value with a colour and a text', () => {
    const series = { labels: {}, points: [[0, 1], [1, 'NaN'], [2, 3]] as [number, number | string][] }
    expect((['last', 'mean', 'min', 'max', 'sum'] as const).map((how) => reduced(series, how))).toEqual([3, 2, 1, 3, 4])
    expect(reduced({ labels: {}, points: [] }, 'sum')).toBeNaN()
    const thresholds = [{ value: null, color: 'green' }, { value: 80, color: 'red' }, { value: 50, color: '#123456' }]
    expect([10, 60, 90].map((value) => thresholdColour(value, thresholds, false))).toEqual(['#0f7a43', '#123456', '#b42318'])
    expect(thresholdColour(1, [], false)).toBeUndefined()
  })

  it.each([
    ['s', 2, 0.1234, '123.40 ms'],
    ['By', 1, 1536, '1.5 KiB'],
    ['', 3, 1236, '1.236k'],
    ['percent', 0, 0.256, '26 %'],
    ['%', 1, 25.67, '25.7 %'],
    ['', 0, 0, '0'],
  ])('write %s with %d decimals', (unit, decimals, value, text) => expect(valueFormat({ unit, decimals })(value)).toBe(text))

  it('show shares and fill gaps', () => {
    const lines = [{ key: 'a', points: [[0, 1], [10, 1]] as const }, { key: 'b', points: [[0, 3]] as const }]
    expect(shares(lines).map((line) => line.points[0]?.[1])).toEqual([0.25, 0.75])
    expect(zeroFilled(lines, 0, 20, 10)[1]?.points).toEqual([[0, 3], [10, 0], [20, 0]])
  })

  it('take cumulative buckets apart', () => {
    const bucket = (le: string, count: number) => ({ labels: { le }, points: [[0, count]] as [number, number][] })
    expect(heatCells([bucket('+Inf', 9), bucket('1', 2), bucket('5', 6)])).toEqual({ names: ['1', '5', '+Inf'], times: [0], counts: [[2], [4], [3]] })
    expect(heatCells([])).toEqual({ names: [], times: [], counts: [] })
  })

  it('read the words of a search for traces', () => {
    expect(readTraceWords('service=shop status:error min_duration=1s root http.route="/a b" code>=500 service=/^(a|b)$/')).toEqual({
      service: 'shop', status: 'error', min_duration: '1s', root: true, attr: ['http.route=/a b', 'code>=500', 'service.name=~^(a|b)$'],
    })
    expect(readTraceWords('duration>250ms')).toEqual({ min_duration: '250ms', attr: [] })
  })
})
