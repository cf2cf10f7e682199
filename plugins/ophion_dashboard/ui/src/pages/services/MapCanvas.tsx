import { Background, BackgroundVariant, Controls, MarkerType, ReactFlow, useReactFlow, ReactFlowProvider, type Edge, type Node } from '@xyflow/react'
import '@xyflow/react/dist/style.css'
import { useEffect, useMemo, useState } from 'react'
import { percent, rate } from '@/lib/format'
import { useTheme } from '@/shell/theme'
import { ms } from './columns'
import { healthOf, type Health } from './health'
import { placed } from './mapLayout'
import { edgeWidth, shapeOf, type Graph } from './mapModel'
import { MapNode, type MapNodeData } from './MapNode'

interface Props {
  graph: Graph
  /** Names that do not hold this text are dimmed. */
  find: string
  middle: string | undefined
}

type FlowNode = Node<MapNodeData, 'service'>

const NODE_TYPES = { service: MapNode }
const COLORS: Record<Health, string> = { ok: 'var(--line-strong)', warn: 'var(--warn)', bad: 'var(--bad)', idle: 'var(--line-strong)' }
/** With more calls than this their figures are shown only at the node that is pointed at. */
const MOST_LABELS = 30
const PADDING = { padding: 0.06, minZoom: 0.4, maxZoom: 1.1 }

/** The map as a drawing: move it, zoom it, and open its services. */
export default function MapCanvas(props: Props) {
  return (
    <div className="map-canvas">
      <ReactFlowProvider>
        <Flow {...props} />
      </ReactFlowProvider>
    </div>
  )
}

function Flow({ graph, find, middle }: Props) {
  const { dark } = useTheme()
  const { fitView } = useReactFlow()
  const [pointed, setPointed] = useState<string>()
  const tall = useMemo(() => matchMedia('(max-width: 720px)').matches, [])
  const shape = useMemo(() => shapeOf(graph), [graph])
  // The places follow from the names alone, so that new figures move nothing.
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const places = useMemo(() => placed(graph, tall), [shape, tall])
  const nodes = useMemo<FlowNode[]>(
    () =>
      graph.nodes.map((node) => ({
        id: node.name,
        type: 'service',
        position: places.get(node.name) ?? { x: 0, y: 0 },
        data: { node, dimmed: !matches(node.name, find), middle: node.name === middle, tall },
        draggable: false,
      })),
    [graph, places, find, middle, tall],
  )
  const edges = useMemo(() => graph.edges.map((edge) => flowEdge(edge, { labels: graph.edges.length <= MOST_LABELS, pointed, find })), [graph, pointed, find])
  useEffect(() => {
    const frame = requestAnimationFrame(() => void fitView(PADDING))
    return () => cancelAnimationFrame(frame)
  }, [shape, fitView])
  return (
    <ReactFlow
      nodes={nodes}
      edges={edges}
      nodeTypes={NODE_TYPES}
      colorMode={dark ? 'dark' : 'light'}
      nodesConnectable={false}
      nodesFocusable={false}
      edgesFocusable={false}
      elementsSelectable={false}
      onlyRenderVisibleElements={graph.nodes.length > 80}
      minZoom={0.1}
      maxZoom={2}
      fitView
      fitViewOptions={PADDING}
      onNodeMouseEnter={(_event, node) => setPointed(node.id)}
      onNodeMouseLeave={() => setPointed(undefined)}
      proOptions={{ hideAttribution: true }}
      aria-label="Service map"
    >
      <Background variant={BackgroundVariant.Dots} gap={22} size={1} />
      <Controls showInteractive={false} />
    </ReactFlow>
  )
}

function matches(name: string, find: string): boolean {
  return name.toLowerCase().includes(find.toLowerCase())
}

interface Drawn {
  labels: boolean
  pointed: string | undefined
  find: string
}

function flowEdge(edge: Graph['edges'][number], { labels, pointed, find }: Drawn): Edge {
  const near = pointed === edge.caller || pointed === edge.callee
  const dimmed = pointed === undefined ? find !== '' && !matches(edge.caller, find) && !matches(edge.callee, find) : !near
  const color = COLORS[healthOf(edge)]
  const errors = edge.error_rate > 0 ? ` · ${percent(edge.error_rate)} fail` : ''
  return {
    id: `${edge.caller}\t${edge.callee}`,
    source: edge.caller,
    target: edge.callee,
    label: (labels || near) && !dimmed ? `${rate(edge.rate)} · ${ms(edge.p95_ms)}${errors}` : undefined,
    ariaLabel: `${edge.caller} calls ${edge.callee}: ${rate(edge.rate)}, 95th percentile ${ms(edge.p95_ms)}${errors}`,
    style: { stroke: color, strokeWidth: edgeWidth(edge.rate), opacity: dimmed ? 0.15 : 1, strokeDasharray: healthOf(edge) === 'bad' ? '7 4' : undefined },
    markerEnd: { type: MarkerType.ArrowClosed, color, width: 16, height: 16, markerUnits: 'userSpaceOnUse' },
  }
}
