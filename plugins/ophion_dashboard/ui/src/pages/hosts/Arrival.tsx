import { clock } from '@/lib/time'
import { useTime } from '@/shell/time'

/** Says which time one came from, and what marks it in the charts. */
export function Arrival({ at }: { at: number | undefined }) {
  const { zone } = useTime()
  return at === undefined ? null : (
    <div className="notice" role="note">
      <span>
        The line in the charts is at <b>{clock(at, zone, 3)}</b>, the time you came from.
      </span>
    </div>
  )
}
