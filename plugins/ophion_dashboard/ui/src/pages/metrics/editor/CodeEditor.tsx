import { EditorState } from '@codemirror/state'
import { EditorView } from '@codemirror/view'
import { useEffect, useRef } from 'react'
import type { NameSource } from '../promql/source'
import { extensions, type Mistake, type Wiring } from './setup'

export interface CodeEditorProps {
  label: string
  hint?: string
  value: string
  set: (value: string) => void
  run: (text: string) => void
  lint: boolean
  focus?: boolean
  source: NameSource
  mistakes: (found: Mistake[]) => void
}

/** An editor of PromQL: Enter runs, Shift+Enter breaks the line, Tab takes a completion or leaves. */
export default function CodeEditor(props: CodeEditorProps) {
  const { label, hint = '', value, source } = props
  const place = useRef<HTMLDivElement>(null)
  const view = useRef<EditorView | null>(null)
  const latest = useRef(props)
  useEffect(() => {
    latest.current = props
  })
  useEffect(() => {
    const parent = place.current
    if (!parent) return undefined
    const said = { text: '' }
    const wiring: Wiring = {
      label,
      hint,
      lint: () => latest.current.lint,
      source,
      changed: (text) => latest.current.set(text),
      run: (text) => latest.current.run(text),
      mistakes: (found) => {
        const text = JSON.stringify(found)
        if (text !== said.text) latest.current.mistakes(found)
        said.text = text
      },
    }
    const made = new EditorView({ parent, state: EditorState.create({ doc: latest.current.value, extensions: extensions(wiring) }) })
    view.current = made
    if (latest.current.focus) made.focus()
    return () => {
      made.destroy()
      view.current = null
    }
  }, [label, hint, source])
  useEffect(() => {
    const made = view.current
    if (!made || made.state.doc.toString() === value) return
    made.dispatch({ changes: { from: 0, to: made.state.doc.length, insert: value } })
  }, [value])
  return <div ref={place} className="promql-editor" />
}
