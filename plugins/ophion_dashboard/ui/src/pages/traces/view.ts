/** The part of a trace that is shown, in milliseconds from its start. */
export interface View {
  start: number
  end: number
}

const LEAST_MS = 0.0001

/** Return the view of an URL's text, or the whole where it cannot be read. */
export function parseView(text: string | undefined, whole: View): View {
  const [start, end] = (text ?? '').split(',').map(Number)
  if (start === undefined || end === undefined || !(end > start) || !Number.isFinite(end - start)) return whole
  return clamped({ start, end }, whole)
}

/** Return the text for the URL; none for the whole. */
export function writeView(view: View, whole: View): string | undefined {
  if (view.start <= whole.start && view.end >= whole.end) return undefined
  const digits = Math.max(0, Math.min(6, 4 - Math.floor(Math.log10(view.end - view.start))))
  return `${Number(view.start.toFixed(digits))},${Number(view.end.toFixed(digits))}`
}

/** Return a view of the same width, moved into the whole; one wider than it becomes the whole. */
export function clamped(view: View, whole: View): View {
  const width = Math.max(LEAST_MS, view.end - view.start)
  if (width >= whole.end - whole.start) return whole
  const start = Math.min(Math.max(view.start, whole.start), whole.end - width)
  return { start, end: start + width }
}

/** Return a view `factor` times as wide, in which `at` (0 to 1, from left) keeps its place. */
export function zoomed(view: View, whole: View, factor: number, at = 0.5): View {
  const width = view.end - view.start
  const fixed = view.start + width * at
  const next = Math.max(LEAST_MS, width * factor)
  return clamped({ start: fixed - next * at, end: fixed + next * (1 - at) }, whole)
}

/** Return the view moved by a share of its width. */
export function panned(view: View, whole: View, share: number): View {
  const by = (view.end - view.start) * share
  return clamped({ start: view.start + by, end: view.end + by }, whole)
}

/** Return where a time stands in a view, 0 to 1 when inside. */
export function place(time: number, view: View): number {
  return (time - view.start) / (view.end - view.start)
}

export interface Bar {
  left: number
  width: number
}

/** Return the part of a bar inside a view as shares of its width, or undefined where it lies outside. */
export function barOf(start: number, end: number, view: View): Bar | undefined {
  const left = Math.max(0, place(start, view))
  const right = Math.min(1, place(end, view))
  return left > 1 || right < 0 ? undefined : { left, width: Math.max(0, right - left) }
}

/** Return about `count` round times inside a view. */
export function ticks(view: View, count = 5): number[] {
  const width = view.end - view.start
  const rough = width / Math.max(1, count)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5, 10].find((one) => one * power >= rough) ?? 10) * power
  const first = Math.ceil(view.start / step - 1e-9) || 0
  const found: number[] = []
  for (let at = first; at * step <= view.end + step * 1e-6 && found.length < 50; at += 1) found.push(at * step)
  return found
}
