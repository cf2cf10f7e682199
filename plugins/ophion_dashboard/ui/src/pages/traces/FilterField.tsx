import { useQuery } from '@tanstack/react-query'
import { ListFilter } from 'lucide-react'
import { useId, useState, type KeyboardEvent } from 'react'
import { answer, api } from '@/api/client'
import { splitCondition } from './filters'
import { shown } from './find'

interface Props {
  service: string | undefined
  add: (condition: string) => void
}

interface Suggestion {
  text: string
  note: string
  /** A key alone goes on with its value. */
  complete: boolean
}

const MOST = 12

/** A line in which a filter of an attribute is written, with completion of its key and its value. */
export function FilterField({ service, add }: Props) {
  const id = useId()
  const [draft, setDraft] = useState('')
  const [open, setOpen] = useState(false)
  const [chosen, setChosen] = useState(-1)
  const suggestions = useSuggestions(draft, service, open)
  const write = (text: string) => {
    setDraft(text)
    setOpen(true)
    setChosen(-1)
  }
  const take = (suggestion: Suggestion) => (suggestion.complete ? submit(suggestion.text) : write(suggestion.text))
  const submit = (text: string) => {
    const { key } = splitCondition(text)
    if (!key) return
    add(text.trim())
    setDraft('')
    setOpen(false)
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const suggestion = suggestions[chosen]
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault()
      setOpen(true)
      const step = event.key === 'ArrowDown' ? 1 : -1
      setChosen(Math.max(-1, Math.min(suggestions.length - 1, chosen + step)))
    } else if (event.key === 'Enter') {
      event.preventDefault()
      if (open && suggestion) take(suggestion)
      else submit(draft)
    } else if (event.key === 'Tab' && open && suggestion) {
      event.preventDefault()
      take(suggestion)
    } else if (event.key === 'Escape') setOpen(false)
  }
  const isOpen = open && suggestions.length > 0
  return (
    <div className="searchbox traces-filter">
      <ListFilter size={15} aria-hidden />
      <input
        className="input"
        role="combobox"
        aria-label="Filter by attribute"
        aria-expanded={isOpen}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={isOpen && chosen >= 0 ? `${id}-${chosen}` : undefined}
        placeholder="Filter by attribute, such as http.response.status_code>=500"
        data-main-search
        spellCheck={false}
        autoComplete="off"
        value={draft}
        onChange={(event) => write(event.target.value)}
        onFocus={() => setOpen(true)}
        onBlur={() => setOpen(false)}
        onKeyDown={onKeyDown}
      />
      <ul id={`${id}-list`} role="listbox" aria-label="Attributes" className="popover menu traces-suggestions" hidden={!isOpen}>
        {isOpen
          ? suggestions.map((suggestion, at) => (
              <li
                key={suggestion.text}
                id={`${id}-${at}`}
                role="option"
                aria-selected={at === chosen}
                className="menu-item"
                data-focused={at === chosen || undefined}
                onMouseDown={(event) => {
                  // The field keeps the focus.
                  event.preventDefault()
                  take(suggestion)
                }}
              >
                <code className="ellipsis grow">{suggestion.text}</code>
                <span className="faint small">{suggestion.note}</span>
              </li>
            ))
          : null}
      </ul>
    </div>
  )
}

function useSuggestions(draft: string, service: string | undefined, open: boolean): Suggestion[] {
  const { key, operator, value } = splitCondition(draft)
  const plain = key.replace(/^(resource|span)\./, '')
  const keys = useQuery({
    queryKey: ['traces', 'keys', plain, service],
    queryFn: ({ signal }) => answer(api.GET('/api/attributes', { params: { query: { search: plain, service, limit: 200 } }, signal })),
    enabled: open && !operator,
    staleTime: 60_000,
  })
  const values = useQuery({
    queryKey: ['traces', 'values', plain, value, service],
    queryFn: ({ signal }) => answer(api.GET('/api/attributes/{key}/values', { params: { path: { key: plain }, query: { prefix: value, service, limit: MOST } }, signal })),
    enabled: open && Boolean(operator) && operator !== '=~' && Boolean(plain),
    staleTime: 60_000,
  })
  if (operator) {
    return (values.data?.values ?? []).map((one) => ({ text: `${key}${operator}${shown(one.value)}`, note: `${one.seen}×`, complete: true }))
  }
  const known = (keys.data?.attributes ?? []).filter((one) => one.signals.some((signal) => signal !== 'log'))
  known.sort((one, other) => Number(other.key.startsWith(plain)) - Number(one.key.startsWith(plain)) || other.seen - one.seen)
  return known.slice(0, MOST).map((one) => ({ text: `${one.key}=`, note: one.signals.includes('span') ? 'span' : 'resource', complete: false }))
}
