import { Link } from '@tanstack/react-router'
import { Search } from 'lucide-react'
import { CopyButton } from '@/components/Copy'
import { conditionFor } from './filters'
import { shown } from './find'

interface Props {
  title: string
  attributes: Record<string, unknown>
  /** Only those whose key or value has this text. */
  filter: string
  /** Where "find traces with this value" looks; without it that is not offered. */
  findIn?: 'span' | 'resource'
}

/** Key and value pairs, each to be copied or searched for. */
export function Attributes({ title, attributes, filter, findIn }: Props) {
  const wanted = filter.toLowerCase()
  const all = Object.entries(attributes)
  const pairs = all.filter(([key, value]) => `${key}=${shown(value)}`.toLowerCase().includes(wanted))
  if (!all.length) return null
  pairs.sort(([one], [other]) => one.localeCompare(other))
  return (
    <section className="traces-attributes" aria-label={title}>
      <h3>
        {title} <span className="faint">{pairs.length === all.length ? all.length : `${pairs.length} of ${all.length}`}</span>
      </h3>
      <dl>
        {pairs.map(([key, value]) => (
          <div key={key}>
            <dt title={key}>{key}</dt>
            <dd>
              <Value value={value} />
              <span className="traces-do">
                {findIn && isPlain(value) ? (
                  <Link
                    to="/traces"
                    search={{ attr: [conditionFor(key, value, findIn === 'resource')] }}
                    className="button icon quiet"
                    aria-label={`Find traces with ${key} ${shown(value).slice(0, 60)}`}
                    title="Find traces with this value"
                  >
                    <Search size={13} aria-hidden />
                  </Link>
                ) : null}
                <CopyButton text={shown(value)} label={`Copy ${key}`} />
              </span>
            </dd>
          </div>
        ))}
      </dl>
    </section>
  )
}

function isPlain(value: unknown): boolean {
  return ['string', 'number', 'boolean'].includes(typeof value) && String(value).length < 1000
}

const LONG = 120

function Value({ value }: { value: unknown }) {
  const text = typeof value === 'object' && value !== null ? JSON.stringify(value, null, 2) : shown(value)
  return text.length > LONG || text.includes('\n') ? <pre tabIndex={0}>{text}</pre> : <code>{text}</code>
}
