import { Check, Copy as CopyIcon } from 'lucide-react'
import { useState } from 'react'
import { Button, IconButton } from './Button'

interface Props {
  text: string
  label: string
  /** Show the label, not only the picture. */
  wide?: boolean
}

/** Copy a text to the clipboard. */
export function CopyButton({ text, label, wide }: Props) {
  const [state, setState] = useState<'idle' | 'done' | 'failed'>('idle')
  const copy = async () => {
    const done = await navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    )
    setState(done ? 'done' : 'failed')
    setTimeout(() => setState('idle'), 2000)
  }
  const icon = state === 'done' ? <Check size={14} aria-hidden /> : <CopyIcon size={14} aria-hidden />
  const name = state === 'done' ? 'Copied' : state === 'failed' ? 'The browser refused' : label
  return wide ? (
    <Button onPress={() => void copy()}>
      {icon} {name}
    </Button>
  ) : (
    <IconButton label={name} onPress={() => void copy()}>
      {icon}
    </IconButton>
  )
}
