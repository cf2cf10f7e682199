import { Search } from 'lucide-react'
import { useEffect, useId, useState, type ComponentProps, type ReactNode } from 'react'

interface FieldProps extends Omit<ComponentProps<'input'>, 'id' | 'className'> {
  label: string
  hint?: ReactNode
  wrong?: string
}

/** A labelled line of text; `wrong` is shown under it and read out. */
export function TextField({ label, hint, wrong, ...rest }: FieldProps) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input {...rest} id={id} className="input" aria-invalid={Boolean(wrong)} aria-describedby={`${id}-note`} />
      <span id={`${id}-note`} className={wrong ? 'wrong' : 'hint'} role={wrong ? 'alert' : undefined}>
        {wrong ?? hint}
      </span>
    </div>
  )
}

interface AreaProps extends Omit<ComponentProps<'textarea'>, 'id' | 'className'> {
  label: string
}

export function TextArea({ label, ...rest }: AreaProps) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <textarea {...rest} id={id} className="input" />
    </div>
  )
}

interface SearchProps {
  label: string
  value: string
  set: (value: string) => void
  /** The field that `/` goes to. */
  main?: boolean
  placeholder?: string
}

/** A search field; `set` is called on Enter, or 300 ms after the last key. */
export function SearchField({ label, value, set, main, placeholder }: SearchProps) {
  const [draft, setDraft] = useState(value)
  const [shown, setShown] = useState(value)
  if (value !== shown) {
    setShown(value)
    setDraft(value)
  }
  useEffect(() => {
    if (draft === value) return undefined
    const timer = setTimeout(() => set(draft), 300)
    return () => clearTimeout(timer)
  }, [draft, value, set])
  return (
    <div className="searchbox grow">
      <Search size={15} aria-hidden />
      <input
        type="search"
        className="input"
        aria-label={label}
        placeholder={placeholder ?? label}
        value={draft}
        data-main-search={main || undefined}
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') set(draft)
        }}
      />
    </div>
  )
}
