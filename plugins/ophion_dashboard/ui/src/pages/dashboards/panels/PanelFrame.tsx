import { Copy, Ellipsis, GripVertical, Info, Pencil, Trash2 } from 'lucide-react'
import { useId, type KeyboardEvent, type ReactNode } from 'react'
import { TooltipTrigger, Button as AriaButton, Tooltip } from 'react-aria-components'
import { IconButton } from '@/components/Button'
import { Menu, type Action } from '@/components/Menu'
import { fillLink, fillText } from '../model/variables'
import type { Shown } from '../model/repeat'

interface Props {
  shown: Shown
  children: ReactNode
  actions?: readonly Action[]
  /** While the grid is changed: keys on the panel's handle. */
  onHandleKey?: (event: KeyboardEvent) => void
}

/** A panel with its title, what it is about, its links and its menu. */
export function PanelFrame({ shown, children, actions, onHandleKey }: Props) {
  const { panel, values } = shown
  const id = useId()
  const title = fillText(panel.title, values)
  return (
    <section className="panel dash-panel" aria-labelledby={id}>
      <div className="panel-head">
        {onHandleKey ? (
          <button type="button" className="dash-handle" aria-label={`Move or resize ${title || 'panel'}`} aria-describedby="dash-keys" onKeyDown={onHandleKey}>
            <GripVertical size={14} aria-hidden />
          </button>
        ) : null}
        <h2 id={id} className="ellipsis" title={title}>
          {title || <span className="hidden-visually">Panel</span>}
        </h2>
        <div className="row grow dash-head-links">
          {panel.description ? <About text={fillText(panel.description, values)} title={title} /> : null}
          {panel.options.links.map((link) => (
            <a key={`${link.title}${link.url}`} className="small" href={fillLink(link.url, values)} rel="noopener noreferrer" target={link.url.startsWith('/') ? undefined : '_blank'}>
              {link.title}
            </a>
          ))}
        </div>
        {actions?.length ? (
          <Menu label={`Actions of ${title || 'panel'}`} actions={actions}>
            <IconButton label={`Actions of ${title || 'panel'}`}>
              <Ellipsis size={15} aria-hidden />
            </IconButton>
          </Menu>
        ) : null}
      </div>
      <div className="panel-body">{children}</div>
    </section>
  )
}

function About({ text, title }: { text: string; title: string }) {
  return (
    <TooltipTrigger delay={200} closeDelay={0}>
      <AriaButton className="dash-about" aria-label={`About ${title}: ${text}`}>
        <Info size={13} aria-hidden />
      </AriaButton>
      <Tooltip className="tooltip">{text}</Tooltip>
    </TooltipTrigger>
  )
}

export const ACTION_NAMES = {
  edit: (
    <>
      <Pencil size={14} aria-hidden /> Edit
    </>
  ),
  copy: (
    <>
      <Copy size={14} aria-hidden /> Duplicate
    </>
  ),
  remove: (
    <>
      <Trash2 size={14} aria-hidden /> Remove
    </>
  ),
}
