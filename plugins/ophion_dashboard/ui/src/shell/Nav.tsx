import { Link } from '@tanstack/react-router'
import { PLACES, type Place } from './navigation'
import { useSession } from './session'

const GROUPS = ['', 'Explore', 'Infrastructure', 'Manage'] as const

/** The list of places on the left; on a phone it slides in. */
export function Nav({ open, close }: { open: boolean; close: () => void }) {
  const { may } = useSession()
  const allowed = PLACES.filter((place) => !place.needs || may(place.needs))
  return (
    <nav className={`nav ${open ? 'open' : ''}`} aria-label="Pages" id="nav">
      {GROUPS.map((group) => (
        <div key={group}>
          {group ? <div className="group">{group}</div> : null}
          {allowed
            .filter((place) => place.group === group)
            .map((place) => (
              <NavLink key={place.path} place={place} close={close} />
            ))}
        </div>
      ))}
    </nav>
  )
}

function NavLink({ place, close }: { place: Place; close: () => void }) {
  const Icon = place.icon
  return (
    <Link to={place.path as '/'} activeOptions={{ exact: place.path === '/', includeSearch: false }} onClick={close} title={place.name}>
      <Icon size={17} aria-hidden />
      <span>{place.name}</span>
    </Link>
  )
}
