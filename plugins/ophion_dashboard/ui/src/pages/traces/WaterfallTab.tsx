import { ChevronDown, ChevronUp, ChevronsDownUp, ChevronsUpDown, Keyboard, Maximize } from 'lucide-react'
import { useDeferredValue, useMemo, useState } from 'react'
import { IconButton, Toggle } from '@/components/Button'
import { Dialog } from '@/components/Dialog'
import { SearchField } from '@/components/Field'
import { remember, remembered } from '@/lib/storage'
import { findSpans, nextMatch } from './find'
import { collapsedBelow, revealed } from './rows'
import { WATERFALL_KEYS } from './useWaterfallKeys'
import type { Trace } from './useTrace'
import type { View } from './view'
import { Waterfall } from './Waterfall'

interface Props {
  trace: Trace
  view: View
  whole: View
  setView: (view: View) => void
  selected: number
  select: (index: number | undefined) => void
  find: string
  setFind: (text: string) => void
}

/** The waterfall with its search and its switches. */
export function WaterfallTab({ trace, view, whole, setView, selected, select, find, setFind }: Props) {
  const { tree } = trace
  const [chosen, setCollapsed] = useState<ReadonlySet<number>>(new Set<number>())
  const [active, setActive] = useState(() => (selected >= 0 ? selected : (tree.order[0] ?? -1)))
  const [critical, setCritical] = useState(() => remembered('critical') !== 'off')
  const [help, setHelp] = useState(false)
  const wanted = useDeferredValue(find)
  const matches = useMemo(() => findSpans(tree, wanted, trace.view.resources), [tree, wanted, trace])
  const position = matches.indexOf(active)
  const goTo = (back: boolean) => {
    const next = nextMatch(tree, matches, active, back)
    if (next === undefined) return
    setCollapsed(revealed(tree, chosen, next))
    setActive(next)
    select(next)
  }
  return (
    <div className="column traces-tab">
      <div className="row wrap">
        <div className="row grow traces-find">
          <SearchField main label="Search in this trace" placeholder="Search in this trace: name, attribute=value, error" value={find} set={setFind} />
          {find ? (
            <span className="small quiet" role="status">
              {matches.length ? `${position < 0 ? '' : `${position + 1} of `}${matches.length} ${matches.length === 1 ? 'match' : 'matches'}` : 'no match'}
            </span>
          ) : null}
          <IconButton label="Previous match (N)" isDisabled={!matches.length} onPress={() => goTo(true)}>
            <ChevronUp size={16} aria-hidden />
          </IconButton>
          <IconButton label="Next match (n)" isDisabled={!matches.length} onPress={() => goTo(false)}>
            <ChevronDown size={16} aria-hidden />
          </IconButton>
        </div>
        <Toggle
          label="Critical path"
          on={critical}
          set={(on) => {
            remember('critical', on ? 'on' : 'off')
            setCritical(on)
          }}
        />
        <span className="row traces-tools">
          <IconButton label="Expand all (*)" onPress={() => setCollapsed(new Set())}>
            <ChevronsUpDown size={16} aria-hidden />
          </IconButton>
          <IconButton label="Collapse all (−)" onPress={() => setCollapsed(collapsedBelow(tree, 1))}>
            <ChevronsDownUp size={16} aria-hidden />
          </IconButton>
          <IconButton label="Show the whole trace (0)" onPress={() => setView(whole)}>
            <Maximize size={16} aria-hidden />
          </IconButton>
          <IconButton label="Keys of the waterfall" onPress={() => setHelp(true)}>
            <Keyboard size={16} aria-hidden />
          </IconButton>
        </span>
      </div>
      <Waterfall
        trace={trace}
        view={view}
        whole={whole}
        setView={setView}
        selected={selected}
        select={select}
        matches={matches}
        showCritical={critical}
        collapsed={chosen}
        setCollapsed={setCollapsed}
        active={active}
        setActive={setActive}
      />
      <p id="waterfall-keys" className="hidden-visually">
        {WATERFALL_KEYS.map(([keys, what]) => `${keys}: ${what}`).join('; ')}
      </p>
      <Dialog title="Keys of the waterfall" open={help} close={() => setHelp(false)} width={380}>
        <dl className="facts">
          {WATERFALL_KEYS.map(([keys, what]) => (
            <div key={keys} style={{ display: 'contents' }}>
              <dt>
                <span className="kbd">{keys}</span>
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
      </Dialog>
    </div>
  )
}
