import { useEffect, type ReactNode } from 'react'
import { brand } from '@/shell/brand'

interface Props {
  title: string
  /** What stands above the title, such as a link to the list that this is a part of. */
  crumbs?: ReactNode
  /** Beside the title: badges, the service's name. */
  beside?: ReactNode
  actions?: ReactNode
  children: ReactNode
}

/** A page: its title is the heading and the name of the browser's tab. */
export function Page({ title, crumbs, beside, actions, children }: Props) {
  useEffect(() => {
    document.title = `${title} · ${brand().name}`
  }, [title])
  return (
    <div className="page">
      <div className="page-head">
        <div className="grow">
          {crumbs ? <div className="crumbs">{crumbs}</div> : null}
          <div className="row wrap">
            <h1 className="ellipsis">{title}</h1>
            {beside}
          </div>
        </div>
        {actions ? <div className="row wrap">{actions}</div> : null}
      </div>
      {children}
    </div>
  )
}
