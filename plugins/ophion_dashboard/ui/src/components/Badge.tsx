import { CircleAlert, CircleCheck, Info, TriangleAlert } from 'lucide-react'
import type { ReactNode } from 'react'

export type Tone = 'ok' | 'warn' | 'bad' | 'info' | 'plain'

const ICONS = { ok: CircleCheck, warn: TriangleAlert, bad: CircleAlert, info: Info, plain: null }

/** A state in words, with a colour and a sign of its own. */
export function Badge({ tone = 'plain', sign = true, children }: { tone?: Tone; sign?: boolean; children: ReactNode }) {
  const Icon = sign ? ICONS[tone] : null
  return (
    <span className={`badge ${tone}`}>
      {Icon ? <Icon size={12} aria-hidden /> : null}
      {children}
    </span>
  )
}

export function Dot({ color }: { color: string }) {
  return <span className="dot" style={{ '--dot': color } as React.CSSProperties} aria-hidden />
}
