import { Link } from '@tanstack/react-router'
import { Dot } from '@/components/Badge'
import { nameColor } from '@/lib/colors'
import { useTheme } from '@/shell/theme'

/** Services by name, each a link; of many the first ones. */
export function ServiceNames({ names, most = 3 }: { names: readonly string[]; most?: number }) {
  const { dark } = useTheme()
  if (names.length === 0) return <span className="faint">-</span>
  return (
    <span className="hosts-names" title={names.join(', ')}>
      {names.slice(0, most).map((name) => (
        <Link key={name} to="/services/$name" params={{ name }} className="row" style={{ gap: 5 }}>
          <Dot color={nameColor(name, dark)} />
          {name}
        </Link>
      ))}
      {names.length > most ? <span className="faint">+{names.length - most}</span> : null}
    </span>
  )
}

/** A container by its name; `host` tells it from another of the same name. */
export function ContainerLink({ name, host }: { name: string; host?: string }) {
  return (
    <Link to="/containers/$name" params={{ name }} search={{ host: host || undefined } as never}>
      {/^[0-9a-f]{64}$/.test(name) ? name.slice(0, 12) : name}
    </Link>
  )
}

export function HostLink({ name }: { name: string }) {
  return name ? (
    <Link to="/hosts/$name" params={{ name }}>
      {name}
    </Link>
  ) : (
    <span className="faint">-</span>
  )
}
