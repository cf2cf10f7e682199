import type { ReactNode } from 'react'
import { Button as AriaButton, ToggleButton as AriaToggle, Tooltip, TooltipTrigger, type ButtonProps } from 'react-aria-components'

type Kind = 'plain' | 'primary' | 'danger' | 'quiet'

interface Props extends Omit<ButtonProps, 'className' | 'style'> {
  kind?: Kind
  children: ReactNode
}

export function Button({ kind = 'plain', ...rest }: Props) {
  return <AriaButton {...rest} className={`button ${kind}`} />
}

interface IconProps extends Omit<ButtonProps, 'className' | 'style' | 'children'> {
  label: string
  kind?: Kind
  children: ReactNode
}

/** A button that shows a picture only; `label` is its name and its tooltip. */
export function IconButton({ label, kind = 'quiet', children, ...rest }: IconProps) {
  return (
    <TooltipTrigger delay={400} closeDelay={0}>
      <AriaButton {...rest} aria-label={label} className={`button icon ${kind}`}>
        {children}
      </AriaButton>
      <Tooltip className="tooltip" offset={6}>
        {label}
      </Tooltip>
    </TooltipTrigger>
  )
}

interface ToggleProps {
  label: string
  on: boolean
  set: (on: boolean) => void
  children?: ReactNode
}

export function Toggle({ label, on, set, children }: ToggleProps) {
  return (
    <AriaToggle aria-label={label} isSelected={on} onChange={set} className="button">
      {children ?? label}
    </AriaToggle>
  )
}
