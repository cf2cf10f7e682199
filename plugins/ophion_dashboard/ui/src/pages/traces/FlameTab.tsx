import { useCallback, useMemo, useRef, useState, type MouseEvent } from 'react'
import { Button } from '@/components/Button'
import { Segments } from '@/components/Choice'
import { Panel } from '@/components/Panel'
import { DataTable, type Column } from '@/components/DataTable'
import { nameColor } from '@/lib/colors'
import { count, duration, percent } from '@/lib/format'
import { useTheme } from '@/shell/theme'
import { BOX_HEIGHT, drawFlame, hit } from './flameDrawing'
import { mergedFlame, partsOf, pathTo, timeFlame, type Box, type Flame } from './flame'
import { Canvas, useSize } from './Canvas'
import type { Trace } from './useTrace'

interface Props {
  trace: Trace
  select: (index: number | undefined) => void
}

type Form = 'merged' | 'time'

const ms = (value: number) => duration(value * 1e6)

/** Flame graph: a click, or a row of the list below it, goes into a part. */
export function FlameTab({ trace, select }: Props) {
  const [form, setForm] = useState<Form>('merged')
  const [zoom, setZoom] = useState(-1)
  const flame = useMemo(() => (form === 'merged' ? mergedFlame(trace.tree, trace.self) : timeFlame(trace.tree, trace.self)), [trace, form])
  const path = useMemo(() => pathTo(flame, zoom), [flame, zoom])
  const parts = useMemo(() => partsOf(flame, zoom), [flame, zoom])
  const here = path.at(-1)
  const total = here?.total ?? flame.end
  const columns = useMemo<Column<Box>[]>(
    () => [
      { id: 'service', header: 'Service', cell: (box) => box.service, sort: (box) => box.service },
      { id: 'name', header: 'Operation', cell: (box) => box.name, sort: (box) => box.name },
      { id: 'count', header: 'Spans', number: true, cell: (box) => count(box.count), sort: (box) => box.count },
      { id: 'total', header: 'Time', number: true, cell: (box) => ms(box.total), sort: (box) => box.total },
      { id: 'self', header: 'Own time', number: true, cell: (box) => ms(box.self), sort: (box) => box.self },
      { id: 'share', header: 'Share', number: true, cell: (box) => percent(total ? box.total / total : 0), sort: (box) => box.total },
    ],
    [total],
  )
  const change = (next: Form) => {
    setForm(next)
    setZoom(-1)
  }
  return (
    <div className="column">
      <div className="row wrap spread">
        <Segments label="Form of the flame graph" value={form} set={change} choices={[['merged', 'By operation'], ['time', 'Over time']]} />
        <span className="small quiet">
          {form === 'merged' ? 'Width is own time, spans of the same path together.' : 'Width is duration; spans that run at once lie below each other.'}
        </span>
      </div>
      <nav aria-label="Path in the flame graph" className="row wrap">
        <Button isDisabled={zoom < 0} onPress={() => setZoom(-1)}>
          Whole trace
        </Button>
        {path.map((box) => (
          <Button key={box.id} isDisabled={box.id === zoom} onPress={() => setZoom(box.id)}>
            {box.name}
          </Button>
        ))}
        {here ? (
          <Button kind="quiet" onPress={() => select(here.span)}>
            Details of {here.count > 1 ? 'its longest span' : 'this span'}
          </Button>
        ) : null}
      </nav>
      <FlameCanvas flame={flame} zoom={here} setZoom={setZoom} />
      <Panel flush>
        <DataTable label={here ? `Parts of ${here.name}` : 'Parts of the trace'} columns={columns} rows={parts} rowKey={(box) => String(box.id)} open={(box) => setZoom(box.id)} maxHeight={300} />
      </Panel>
    </div>
  )
}

function FlameCanvas({ flame, zoom, setZoom }: { flame: Flame; zoom: Box | undefined; setZoom: (id: number) => void }) {
  const frame = useRef<HTMLDivElement>(null)
  const { dark } = useTheme()
  const [hover, setHover] = useState<{ box: Box; x: number; y: number }>()
  const { width } = useSize(frame)
  const size = useMemo(() => ({ width, height: Math.max(1, flame.rows) * BOX_HEIGHT }), [width, flame])
  const colors = useMemo(() => new Map([...new Set(flame.boxes.map((box) => box.service))].map((name) => [name, nameColor(name, dark)])), [flame, dark])
  const draw = useCallback(
    (context: CanvasRenderingContext2D) => drawFlame(context, flame, zoom, width, colors, dark, hover?.box.id),
    [flame, zoom, width, colors, dark, hover],
  )
  const boxAt = (event: MouseEvent) => {
    const bounds = event.currentTarget.getBoundingClientRect()
    return hit(flame, zoom, event.clientX - bounds.left, event.clientY - bounds.top, width)
  }
  const move = (event: MouseEvent) => {
    const box = boxAt(event)
    const bounds = event.currentTarget.getBoundingClientRect()
    setHover(box ? { box, x: event.clientX - bounds.left, y: event.clientY - bounds.top } : undefined)
  }
  const click = (event: MouseEvent) => {
    const box = boxAt(event)
    if (box) setZoom(box.id === zoom?.id ? box.parent : box.id)
  }
  return (
    <div className="traces-flame" data-testid="flame">
      <div ref={frame} onMouseMove={move} onMouseLeave={() => setHover(undefined)} onClick={click} aria-hidden style={{ height: size.height }}>
        <Canvas size={size} draw={draw} />
        {hover ? <FlameTip box={hover.box} x={hover.x} y={hover.y} width={width} /> : null}
      </div>
    </div>
  )
}

function FlameTip({ box, x, y, width }: { box: Box; x: number; y: number; width: number }) {
  const side = x > width / 2 ? { right: width - x + 12 } : { left: x + 12 }
  return (
    <div className="chart-tip traces-tip" style={{ ...side, top: y + 14 }}>
      <b>{box.name}</b>
      <div>{box.service}</div>
      <div className="faint">
        {ms(box.total)}, own {ms(box.self)}
        {box.count > 1 ? `, ${box.count} spans` : ''}
        {box.errors ? `, ${box.errors} failed` : ''}
      </div>
    </div>
  )
}
