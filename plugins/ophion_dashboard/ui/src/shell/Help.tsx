import { Dialog } from '@/components/Dialog'
import { KEYS } from './shortcuts'

export function Help({ open, close }: { open: boolean; close: () => void }) {
  return (
    <Dialog title="Keyboard" open={open} close={close}>
      <dl className="facts">
        {KEYS.map(([keys, what]) => (
          <div key={keys} style={{ display: 'contents' }}>
            <dt>
              {keys.split(' ').map((key) => (
                <kbd key={key} className="kbd">
                  {key}
                </kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p className="quiet">On a chart, drag to zoom every chart of the page. Pages add keys of their own: they stand beside what they do.</p>
    </Dialog>
  )
}
