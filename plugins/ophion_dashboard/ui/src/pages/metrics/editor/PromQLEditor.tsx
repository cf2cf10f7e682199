import { CircleAlert } from 'lucide-react'
import { lazy, Suspense, useState } from 'react'
import { Skeleton } from '@/components/States'
import { useNameSource } from '../promql/source'
import type { Mistake } from './setup'
import './editor.css'

const CodeEditor = lazy(() => import('./CodeEditor'))

interface Props {
  label: string
  hint?: string
  value: string
  set: (value: string) => void
  /** Takes the text, which may be newer than `value`. */
  run: (text: string) => void
  /** What the server said of it. */
  error?: Error
  /** False for text that is PromQL only once variables are filled in. */
  lint?: boolean
  focus?: boolean
}

/** PromQL with completion; mistakes stand below with their place. */
export function PromQLEditor({ label, hint = 'PromQL: a metric, a function, an aggregation …', value, set, run, error, lint = true, focus }: Props) {
  const source = useNameSource()
  const [mistakes, setMistakes] = useState<Mistake[]>([])
  const first = value.trim() ? mistakes[0] : undefined
  const isWrong = Boolean(first ?? error)
  return (
    <div className="promql-field">
      <div className={`promql-box ${isWrong ? 'wrong' : ''}`}>
        <Suspense fallback={<Skeleton height={28} />}>
          <CodeEditor label={label} hint={hint} value={value} set={set} run={run} lint={lint} focus={focus} source={source} mistakes={setMistakes} />
        </Suspense>
      </div>
      {isWrong ? (
        <div className="promql-mistake" role="alert">
          <CircleAlert size={13} aria-hidden />
          <span>
            {first ? (
              <>
                Line {first.line}, column {first.column}: {first.message}
              </>
            ) : (
              error?.message
            )}
          </span>
        </div>
      ) : null}
    </div>
  )
}
