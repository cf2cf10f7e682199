import { EventSourceParserStream } from 'eventsource-parser/stream'
import { useEffect, useState } from 'react'
import { sessionEnd } from '@/api/client'
import type { Filters } from './query'
import { entryKey, type Entry } from './records'

export interface Tail {
  /** Oldest first; the last `MOST` of them. */
  entries: readonly Entry[]
  /** Records that came too quickly to be sent. */
  dropped: number
  state: 'off' | 'connecting' | 'following' | 'lost'
  problem?: string
}

export const MOST = 5000
const FLUSH_MS = 200
const RETRY_MS = 2000
/** Records that are taken up in one go; a second's worth of them would take longer than a frame. */
const AT_ONCE = 100
const OFF: Tail = { entries: [], dropped: 0, state: 'off' }

/** Follow records as they come. Comes back by itself after a lost connection, without gaps and without doubles. */
export function useTail(filters: Filters, on: boolean): Tail {
  const [tail, setTail] = useState<Tail>(OFF)
  const { query, severity_min: level } = filters
  useEffect(() => {
    if (!on) return undefined
    const stop = new AbortController()
    const buffer = new Buffer()
    const flush = setInterval(() => buffer.flush(setTail), FLUSH_MS)
    const parameters = new URLSearchParams({ query, ...(level ? { severity_min: level } : {}) })
    void follow(`/api/logs/tail?${parameters}`, buffer, setTail, stop.signal)
    return () => {
      stop.abort()
      clearInterval(flush)
    }
  }, [query, level, on])
  return on ? tail : OFF
}

type SetTail = (change: (before: Tail) => Tail) => void

/** Collects what comes between two drawings. */
class Buffer {
  lastEventId = ''
  private readonly seen = new Set<string>()
  private entries: Entry[] = []
  private dropped = 0

  add(entry: Entry): void {
    const key = entryKey(entry)
    if (this.seen.has(key)) return
    this.seen.add(key)
    this.entries.push(entry)
  }

  drop(records: number): void {
    this.dropped += records
  }

  flush(setTail: SetTail): void {
    if (this.entries.length === 0 && this.dropped === 0) return
    const { entries, dropped } = this
    this.entries = []
    this.dropped = 0
    if (this.seen.size > 4 * MOST) this.forget()
    setTail((before) => ({ ...before, entries: [...before.entries, ...entries].slice(-MOST), dropped: before.dropped + dropped }))
  }

  private forget(): void {
    const keys = [...this.seen].slice(-2 * MOST)
    this.seen.clear()
    for (const key of keys) this.seen.add(key)
  }
}

async function follow(url: string, buffer: Buffer, setTail: SetTail, signal: AbortSignal): Promise<void> {
  setTail(() => ({ ...OFF, state: 'connecting' }))
  while (!signal.aborted) {
    const refused = await read(url, buffer, setTail, signal).catch(() => undefined)
    if (signal.aborted) return
    setTail((before) => ({ ...before, state: 'lost', problem: refused }))
    if (refused) return
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
  }
}

/** Read one connection to its end; returns why the server refused, where asking again would not help. */
async function read(url: string, buffer: Buffer, setTail: SetTail, signal: AbortSignal): Promise<string | undefined> {
  const headers: HeadersInit = buffer.lastEventId ? { 'last-event-id': buffer.lastEventId } : {}
  const response = await fetch(url, { signal, headers })
  if (response.status === 401) sessionEnd.announce()
  if (!response.ok || !response.body) {
    const body = (await response.json().catch(() => ({}))) as { detail?: string }
    return response.status >= 500 ? undefined : (body.detail ?? response.statusText)
  }
  setTail((before) => ({ ...before, state: 'following', problem: undefined }))
  const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream()).getReader()
  let taken = 0
  for (let next = await events.read(); !next.done; next = await events.read()) {
    taken += 1
    if (taken % AT_ONCE === 0) await nextTask()
    const { event, data, id } = next.value
    buffer.lastEventId = id ?? buffer.lastEventId
    if (event === 'log') buffer.add(JSON.parse(data) as Entry)
    else if (event === 'dropped') buffer.drop((JSON.parse(data) as { records: number }).records)
  }
  return undefined
}

/** Let the page draw before what follows; unlike a timer, it is not held back in a page that is hidden. */
function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(null)
  })
}
