import { useBlocker } from '@tanstack/react-router'
import { Confirm } from '@/components/Dialog'

/** Ask before a page with changes is left. */
export function Leaving({ isChanged }: { isChanged: boolean }) {
  const { status, proceed, reset } = useBlocker({
    shouldBlockFn: ({ current, next }) => isChanged && current.pathname !== next.pathname,
    enableBeforeUnload: false,
    withResolver: true,
  })
  if (status !== 'blocked') return null
  return (
    <Confirm title="Leave without saving?" open close={() => reset?.()} action="Leave" run={() => proceed?.()}>
      What you changed on this dashboard is lost.
    </Confirm>
  )
}
