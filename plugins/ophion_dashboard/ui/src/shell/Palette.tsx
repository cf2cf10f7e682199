import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Command } from 'cmdk'
import { Boxes, Clock, LayoutDashboard, Server, SunMoon, Waypoints } from 'lucide-react'
import { useState } from 'react'
import { Dialog, Modal, ModalOverlay } from 'react-aria-components'
import { answer, api } from '@/api/client'
import { QUICK_RANGES } from '@/lib/time'
import { PLACES } from './navigation'
import { useSession } from './session'
import { useTheme } from './theme'
import { useTime } from './time'

interface Props {
  open: boolean
  close: () => void
}

/** Everything by its name: pages, services, hosts, dashboards, time ranges, a trace by its id. */
export default function Palette({ open, close }: Props) {
  return (
    <ModalOverlay className="overlay" isOpen={open} onOpenChange={(next) => !next && close()} isDismissable>
      <Modal className="dialog command">
        <Dialog aria-label="Find pages, services and commands">
          <Choices close={close} />
        </Dialog>
      </Modal>
    </ModalOverlay>
  )
}

function Choices({ close }: { close: () => void }) {
  const [text, setText] = useState('')
  const navigate = useNavigate()
  const { may } = useSession()
  const { setRange } = useTime()
  const { dark, choose } = useTheme()
  const go = (path: string) => {
    close()
    void navigate({ to: path })
  }
  const trace = /^[0-9a-f]{32}$/i.test(text.trim()) ? text.trim().toLowerCase() : ''
  return (
    <Command label="Find pages, services and commands">
      <Command.Input autoFocus placeholder="Page, service, host, dashboard, time range, or a trace id" value={text} onValueChange={setText} />
      <Command.List>
        <Command.Empty>Nothing is named like this. Services and hosts of the last hour can be found here.</Command.Empty>
        {trace ? (
          <Command.Item value={`trace ${trace}`} onSelect={() => go(`/traces/${trace}`)}>
            <Waypoints size={15} aria-hidden /> Trace {trace}
          </Command.Item>
        ) : null}
        <Command.Group heading="Pages">
          {PLACES.filter((place) => !place.needs || may(place.needs)).map((place) => (
            <Command.Item key={place.path} value={`page ${place.name}`} onSelect={() => go(place.path)}>
              <place.icon size={15} aria-hidden /> {place.name}
            </Command.Item>
          ))}
        </Command.Group>
        <Names go={go} />
        <Command.Group heading="Time">
          {QUICK_RANGES.map(([from, name]) => (
            <Command.Item
              key={from}
              value={`time ${name}`}
              onSelect={() => {
                setRange(from, 'now')
                close()
              }}
            >
              <Clock size={15} aria-hidden /> {name}
            </Command.Item>
          ))}
        </Command.Group>
        <Command.Group heading="Commands">
          <Command.Item value={dark ? 'light theme' : 'dark theme'} onSelect={() => choose(dark ? 'light' : 'dark')}>
            <SunMoon size={15} aria-hidden /> {dark ? 'Light theme' : 'Dark theme'}
          </Command.Item>
        </Command.Group>
      </Command.List>
    </Command>
  )
}

function Names({ go }: { go: (path: string) => void }) {
  const services = useQuery({ queryKey: ['palette', 'services'], queryFn: () => answer(api.GET('/api/services')), staleTime: 60_000 })
  const hosts = useQuery({ queryKey: ['palette', 'hosts'], queryFn: () => answer(api.GET('/api/hosts')), staleTime: 60_000 })
  const dashboards = useQuery({ queryKey: ['palette', 'dashboards'], queryFn: () => answer(api.GET('/api/dashboards')), staleTime: 60_000 })
  return (
    <>
      <Command.Group heading="Services">
        {services.data?.services.map((service) => (
          <Command.Item key={service.name} value={`service ${service.name}`} onSelect={() => go(`/services/${encodeURIComponent(service.name)}`)}>
            <Boxes size={15} aria-hidden /> {service.name}
          </Command.Item>
        ))}
      </Command.Group>
      <Command.Group heading="Hosts">
        {hosts.data?.hosts.map((host) => (
          <Command.Item key={host.name} value={`host ${host.name}`} onSelect={() => go(`/hosts/${encodeURIComponent(host.name)}`)}>
            <Server size={15} aria-hidden /> {host.name}
          </Command.Item>
        ))}
      </Command.Group>
      <Command.Group heading="Dashboards">
        {dashboards.data?.map((dashboard) => (
          <Command.Item key={dashboard.uid} value={`dashboard ${dashboard.title} ${dashboard.uid}`} onSelect={() => go(`/dashboards/${encodeURIComponent(dashboard.uid)}`)}>
            <LayoutDashboard size={15} aria-hidden /> {dashboard.title}
          </Command.Item>
        ))}
        <Command.Item value="new dashboard" onSelect={() => go('/dashboards/new')}>
          <LayoutDashboard size={15} aria-hidden /> New dashboard
        </Command.Item>
      </Command.Group>
    </>
  )
}
