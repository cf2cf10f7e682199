import { CalendarClock, Pause, Play, RotateCw } from 'lucide-react'
import { useState, type FormEvent } from 'react'
import { Button as AriaButton, Dialog, DialogTrigger, Popover } from 'react-aria-components'
import { Button, IconButton } from '@/components/Button'
import { SelectField } from '@/components/Choice'
import { TextField } from '@/components/Field'
import { clock, isRelative, parseTime, QUICK_RANGES, rangeLabel, type Zone } from '@/lib/time'
import { REFRESH_SECONDS, useTime } from './time'

/** The time range of the page, how often it is asked for again, and the time zone. */
export function TimePicker() {
  const { from, to, zone, refresh, setRefresh, reload } = useTime()
  const [last, setLast] = useState(30)
  const live = refresh > 0
  const flip = () => {
    if (live) setLast(refresh)
    setRefresh(live ? 0 : last)
  }
  return (
    <div className="row">
      <DialogTrigger>
        <AriaButton className="button time-range" aria-label={`Time range: ${rangeLabel(from, to, zone)}`}>
          <CalendarClock size={15} aria-hidden />
          <span className="ellipsis time-label">{rangeLabel(from, to, zone)}</span>
        </AriaButton>
        <Popover className="popover" placement="bottom end">
          <Dialog aria-label="Time range">{({ close }) => <TimeMenu close={close} />}</Dialog>
        </Popover>
      </DialogTrigger>
      {isRelative(to) ? (
        <IconButton label={live ? 'Pause' : 'Go on refreshing'} onPress={flip}>
          {live ? <Pause size={15} aria-hidden /> : <Play size={15} aria-hidden />}
        </IconButton>
      ) : null}
      <IconButton label="Refresh now" onPress={reload}>
        <RotateCw size={15} aria-hidden />
      </IconButton>
    </div>
  )
}

function TimeMenu({ close }: { close: () => void }) {
  const { from, to, zone, refresh, setRange, setRefresh, setZone } = useTime()
  const choose = (nextFrom: string, nextTo: string) => {
    setRange(nextFrom, nextTo)
    close()
  }
  return (
    <div className="time-menu">
      <div>
        {QUICK_RANGES.map(([text, name]) => (
          <AriaButton key={text} className="menu-item" onPress={() => choose(text, 'now')} data-selected={from === text && to === 'now' ? true : undefined}>
            {name}
          </AriaButton>
        ))}
      </div>
      <div className="column">
        <AbsoluteForm key={`${from} ${to} ${zone}`} zone={zone} apply={choose} />
        <SelectField
          label="Refresh"
          value={String(refresh)}
          choices={REFRESH_SECONDS.map((one) => [String(one), one ? `every ${one < 60 ? `${one} s` : `${one / 60} min`}` : 'never'] as const)}
          set={(value) => setRefresh(Number(value))}
        />
        <SelectField label="Time zone" value={zone} choices={[['local', localZone()], ['utc', 'UTC']] as const} set={(value) => setZone(value as Zone)} />
      </div>
    </div>
  )
}

function localZone(): string {
  return `Local (${Intl.DateTimeFormat().resolvedOptions().timeZone})`
}

function AbsoluteForm({ zone, apply }: { zone: Zone; apply: (from: string, to: string) => void }) {
  const { range, from, to } = useTime()
  const shown = (text: string, ms: number) => (isRelative(text) ? text : clock(ms, zone))
  const [start, setStart] = useState(shown(from, range.start))
  const [end, setEnd] = useState(shown(to, range.end))
  const [wrong, setWrong] = useState('')
  const submit = (event: FormEvent) => {
    event.preventDefault()
    const texts = [start, end].map((text) => written(text, zone))
    const [first, second] = texts
    const [a, b] = texts.map((text) => (text === undefined ? undefined : parseTime(text, Date.now())))
    if (first === undefined || second === undefined || a === undefined || b === undefined) setWrong('Write 2026-05-01 12:30, or now-2h.')
    else if (a >= b) setWrong('The begin must be before the end.')
    else apply(first, second)
  }
  return (
    <form className="column" onSubmit={submit}>
      <TextField label="From" value={start} onChange={(event) => setStart(event.target.value)} wrong={wrong || undefined} />
      <TextField label="To" value={end} onChange={(event) => setEnd(event.target.value)} />
      <Button type="submit" kind="primary">
        Apply
      </Button>
    </form>
  )
}

/** Return what goes into the URL for what somebody wrote, or undefined. */
export function written(text: string, zone: Zone): string | undefined {
  const trimmed = text.trim()
  if (isRelative(trimmed) || /^\d{12,14}$/.test(trimmed)) return trimmed
  const hasZone = /(z|[+-]\d\d:?\d\d)$/i.test(trimmed)
  const ms = Date.parse(zone === 'utc' && !hasZone ? `${trimmed.replace(' ', 'T')}Z` : trimmed)
  return Number.isNaN(ms) ? undefined : String(ms)
}
