import { X } from 'lucide-react'
import type { ReactNode } from 'react'
import { Dialog as AriaDialog, Heading, Modal, ModalOverlay } from 'react-aria-components'
import { Button, IconButton } from './Button'

interface Props {
  title: string
  open: boolean
  close: () => void
  children: ReactNode
  width?: number
}

/** A window above the page: Escape and a click beside it close it, and the focus goes back. */
export function Dialog({ title, open, close, children, width = 520 }: Props) {
  return (
    <ModalOverlay className="overlay" isOpen={open} onOpenChange={(next) => !next && close()} isDismissable>
      <Modal className="dialog" style={{ '--dialog-width': `${width}px` } as React.CSSProperties}>
        <AriaDialog>
          <div className="row spread">
            <Heading slot="title" level={2}>
              {title}
            </Heading>
            <IconButton label="Close" onPress={close}>
              <X size={16} aria-hidden />
            </IconButton>
          </div>
          {children}
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  )
}

interface ConfirmProps {
  title: string
  open: boolean
  close: () => void
  action: string
  run: () => void
  pending?: boolean
  children: ReactNode
}

/** Ask before something is done that cannot be undone. */
export function Confirm({ title, open, close, action, run, pending, children }: ConfirmProps) {
  return (
    <Dialog title={title} open={open} close={close} width={440}>
      <div>{children}</div>
      <div className="row" style={{ justifyContent: 'flex-end' }}>
        <Button onPress={close}>Cancel</Button>
        <Button kind="danger" onPress={run} isDisabled={pending}>
          {action}
        </Button>
      </div>
    </Dialog>
  )
}
