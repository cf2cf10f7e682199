/** CodeMirror for PromQL: loaded when an editor is shown. */
import { acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap, insertNewlineAndIndent } from '@codemirror/commands'
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language'
import { forEachDiagnostic, linter } from '@codemirror/lint'
import { Prec, type EditorState, type Extension } from '@codemirror/state'
import { EditorView, keymap, placeholder } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { PromQLExtension, type PrometheusClient } from '@prometheus-io/codemirror-promql'
import type { NameSource } from '../promql/source'
import { styleNonce } from './nonce'

/** A mistake, and where it begins: line and column from 1. */
export interface Mistake {
  line: number
  column: number
  message: string
}

export interface Wiring {
  label: string
  hint: string
  /** Expressions with variables are checked once those have their values. */
  lint: () => boolean
  source: NameSource
  changed: (text: string) => void
  run: (text: string) => void
  mistakes: (found: Mistake[]) => void
}

const COLOURS = HighlightStyle.define([
  { tag: [tags.function(tags.variableName), tags.modifier, tags.keyword], color: 'var(--info)' },
  { tag: [tags.operatorKeyword, tags.operator], color: 'var(--ink-2)' },
  { tag: tags.labelName, color: 'var(--accent-strong)' },
  { tag: tags.string, color: 'var(--ok)' },
  { tag: tags.number, color: 'var(--warn)' },
  { tag: tags.comment, color: 'var(--ink-3)', fontStyle: 'italic' },
  { tag: tags.variableName, color: 'var(--ink)' },
])

const LOOK = EditorView.theme({
  '&': { backgroundColor: 'transparent', color: 'var(--ink)', fontSize: '0.8125rem' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.5' },
  '.cm-content': { padding: '4px 0', caretColor: 'var(--ink)' },
  '.cm-line': { padding: '0 9px' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)' },
  '.cm-placeholder': { color: 'var(--ink-3)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    backgroundColor: 'var(--accent-soft)',
  },
  '&.cm-focused .cm-matchingBracket': { backgroundColor: 'var(--accent-soft)', outline: '1px solid var(--accent)' },
  '.cm-tooltip': {
    border: '1px solid var(--line)',
    borderRadius: 'var(--radius-s)',
    backgroundColor: 'var(--surface-1)',
    color: 'var(--ink)',
    boxShadow: 'var(--shadow-pop)',
  },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', maxHeight: '18em' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li': { padding: '3px 8px' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': { background: 'var(--accent-soft)', color: 'var(--ink)' },
  '.cm-completionDetail': { color: 'var(--ink-3)', fontStyle: 'normal', marginLeft: '1.5em' },
  '.cm-completionMatchedText': { color: 'var(--accent-strong)', textDecoration: 'none', fontWeight: '700' },
  '.cm-completionInfo': { padding: '6px 10px', maxWidth: '320px', fontFamily: 'var(--font)' },
  '.cm-diagnostic': { fontFamily: 'var(--font)' },
})

export function extensions(wiring: Wiring): Extension {
  const promql = new PromQLExtension().setComplete({ remote: client(wiring.source), maxMetricsMetadata: 100_000 }).activateLinter(false)
  return [
    EditorView.cspNonce.of(styleNonce()),
    history(),
    closeBrackets(),
    bracketMatching(),
    autocompletion({ icons: false }),
    EditorView.lineWrapping,
    REPLACING,
    placeholder(wiring.hint),
    syntaxHighlighting(COLOURS),
    LOOK,
    promql.asExtension(),
    linter((view) => (wiring.lint() ? promql.getLinter().promQL()(view) : [])),
    Prec.high(keymap.of([{ key: 'Tab', run: acceptCompletion }])),
    // Below the completion's own Enter, above that of the editor.
    keymap.of([
      ...completionKeymap,
      { key: 'Shift-Enter', run: insertNewlineAndIndent },
      { key: 'Enter', run: ran(wiring.run) },
      { key: 'Mod-Enter', run: ran(wiring.run) },
      ...closeBracketsKeymap,
      ...defaultKeymap,
      ...historyKeymap,
    ]),
    EditorView.contentAttributes.of({ 'aria-label': wiring.label, spellcheck: 'false', autocapitalize: 'off' }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) wiring.changed(update.state.doc.toString())
      wiring.mistakes(mistakesOf(update.state))
    }),
  ]
}

function ran(run: (text: string) => void): (view: EditorView) => boolean {
  return (view) => {
    run(view.state.doc.toString())
    return true
  }
}

/**
 * Text that replaces a selection goes straight into the document: left to itself, the browser keeps the look of what
 * was selected in a `style` attribute, which the page's policy refuses.
 */
const REPLACING = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const chosen = document.getSelection()
    const range = chosen?.rangeCount && !chosen.isCollapsed ? chosen.getRangeAt(0) : undefined
    if (event.inputType !== 'insertText' || event.data === null || !range || view.composing) return false
    if (!view.contentDOM.contains(range.commonAncestorContainer)) return false
    const text = event.data
    // The editor may not know of the selection yet; the document does.
    const from = view.posAtDOM(range.startContainer, range.startOffset)
    const to = view.posAtDOM(range.endContainer, range.endOffset)
    const insert = () => view.state.update({ changes: { from, to, insert: text }, selection: { anchor: from + text.length }, userEvent: 'input.type', scrollIntoView: true })
    if (!view.state.facet(EditorView.inputHandler).some((handle) => handle(view, from, to, text, insert))) view.dispatch(insert())
    event.preventDefault()
    return true
  },
})

function mistakesOf(state: EditorState): Mistake[] {
  const found: Mistake[] = []
  forEachDiagnostic(state, (diagnostic, from) => {
    const line = state.doc.lineAt(from)
    found.push({ line: line.number, column: from - line.from + 1, message: diagnostic.message })
  })
  return found
}

function client(source: NameSource): PrometheusClient {
  return {
    labelNames: (metric) => source.labelNames(metric),
    labelValues: (name, metric) => source.labelValues(name, metric),
    metricNames: () => source.metricNames(),
    async metricMetadata() {
      return Object.fromEntries([...(await source.metadata())].map(([name, one]) => [name, [one]]))
    },
    // Series are asked for to find labels and their values, for which there are cheaper questions.
    async series(metric, _matchers, label) {
      const labels = label ? (await source.labelValues(label, metric)).map((value) => [label, value] as const) : []
      const names = label ? [] : (await source.labelNames(metric)).map((name) => [name, ''] as const)
      return [...labels, ...names].map((pair) => new Map([pair]))
    },
    flags: () => Promise.resolve({}),
  }
}
