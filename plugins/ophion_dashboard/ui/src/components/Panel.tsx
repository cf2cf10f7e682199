import { useId, type CSSProperties, type ReactNode } from 'react'

interface Props {
  title?: ReactNode
  actions?: ReactNode
  children: ReactNode
  /** The content goes up to the panel's edge, as tables do. */
  flush?: boolean
  style?: CSSProperties
  className?: string
}

export function Panel({ title, actions, children, flush, style, className = '' }: Props) {
  const id = useId()
  return (
    <section className={`panel ${className}`} aria-labelledby={title ? id : undefined} style={style}>
      {title || actions ? (
        <div className="panel-head">
          <h2 id={id} className="ellipsis">
            {title}
          </h2>
          {actions ? <div className="row">{actions}</div> : null}
        </div>
      ) : null}
      <div className={`panel-body ${flush ? 'flush' : ''}`}>{children}</div>
    </section>
  )
}
