import { CopyButton } from '@/components/Copy'
import { Dialog } from '@/components/Dialog'

interface Props {
  title: string
  secret: string | undefined
  close: () => void
}

/** A secret that the server tells once. */
export function Secret({ title, secret, close }: Props) {
  return (
    <Dialog title={title} open={Boolean(secret)} close={close}>
      <p>It is shown now and never again. Keep it where you keep secrets.</p>
      <pre className="code" data-testid="secret">
        {secret}
      </pre>
      <CopyButton wide label="Copy" text={secret ?? ''} />
    </Dialog>
  )
}
