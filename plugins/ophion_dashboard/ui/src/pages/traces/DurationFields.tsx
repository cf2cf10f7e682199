import { useState, type FormEvent } from 'react'
import { TextField } from '@/components/Field'
import { readDuration } from './filters'

interface Props {
  least: string | undefined
  most: string | undefined
  set: (change: { min_duration?: string; max_duration?: string }) => void
}

/** The shortest and the longest duration, as people write them. */
export function DurationFields({ least, most, set }: Props) {
  return (
    <div className="traces-durations">
      <DurationField key={`least ${least ?? ''}`} label="At least" value={least} set={(value) => set({ min_duration: value })} placeholder="250ms" />
      <DurationField key={`most ${most ?? ''}`} label="At most" value={most} set={(value) => set({ max_duration: value })} placeholder="2s" />
    </div>
  )
}

interface FieldProps {
  label: string
  value: string | undefined
  placeholder: string
  set: (value: string | undefined) => void
}

function DurationField({ label, value, placeholder, set }: FieldProps) {
  const [draft, setDraft] = useState(value ?? '')
  const [wrong, setWrong] = useState('')
  const submit = (event?: FormEvent) => {
    event?.preventDefault()
    const read = readDuration(draft)
    if (draft.trim() && read === undefined) setWrong('Write 250ms, 1.5s or 2m.')
    else if (read !== value) set(read)
    else setWrong('')
  }
  return (
    <form onSubmit={submit}>
      <TextField label={label} placeholder={placeholder} value={draft} wrong={wrong || undefined} onChange={(event) => setDraft(event.target.value)} onBlur={() => submit()} />
    </form>
  )
}
