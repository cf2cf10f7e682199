import type { ReactNode } from 'react'
import { Menu as AriaMenu, MenuItem, MenuTrigger, Popover } from 'react-aria-components'

export interface Action {
  id: string
  name: ReactNode
  run: () => void
}

/** A button (the child) that opens a list of actions. */
export function Menu({ label, actions, children }: { label: string; actions: readonly Action[]; children: ReactNode }) {
  return (
    <MenuTrigger>
      {children}
      <Popover className="popover" placement="bottom end">
        <AriaMenu className="menu" aria-label={label}>
          {actions.map((action) => (
            <MenuItem key={action.id} id={action.id} className="menu-item" onAction={action.run}>
              {action.name}
            </MenuItem>
          ))}
        </AriaMenu>
      </Popover>
    </MenuTrigger>
  )
}
