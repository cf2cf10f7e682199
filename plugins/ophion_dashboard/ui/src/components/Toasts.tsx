import { createContext, useCallback, useContext, useMemo, useRef, useState, type ReactNode } from 'react'

interface Toast {
  id: number
  text: string
  bad: boolean
}

interface Say {
  done: (text: string) => void
  failed: (error: Error) => void
}

const ToastContext = createContext<Say | null>(null)
const SHOWN_MS = 5000

/** Short messages in the corner that go away by themselves; screen readers read them. */
export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([])
  const next = useRef(0)
  const add = useCallback((text: string, bad: boolean) => {
    const id = next.current++
    setToasts((before) => [...before.slice(-3), { id, text, bad }])
    setTimeout(() => setToasts((before) => before.filter((one) => one.id !== id)), SHOWN_MS)
  }, [])
  const say = useMemo(
    () => ({ done: (text: string) => add(text, false), failed: (error: Error) => add(error.message, true) }),
    [add],
  )
  return (
    <ToastContext value={say}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {toasts.map((toast) => (
          <div key={toast.id} className={`notice ${toast.bad ? 'bad' : ''}`}>
            {toast.text}
          </div>
        ))}
      </div>
    </ToastContext>
  )
}

export function useSay(): Say {
  const say = useContext(ToastContext)
  if (!say) throw new Error('useSay needs a ToastProvider')
  return say
}
