import {
  Boxes,
  ChartLine,
  Container,
  HeartPulse,
  House,
  LayoutDashboard,
  Network,
  ScrollText,
  Server,
  Settings,
  Waypoints,
  type LucideIcon,
} from 'lucide-react'
import type { SchemaPermission } from '@/api/client'

export interface Place {
  name: string
  path: string
  icon: LucideIcon
  /** Typed after `g`. */
  key: string
  group: '' | 'Explore' | 'Infrastructure' | 'Manage'
  needs?: SchemaPermission
}

export const PLACES: readonly Place[] = [
  { name: 'Overview', path: '/', icon: House, key: 'o', group: '' },
  { name: 'Dashboards', path: '/dashboards', icon: LayoutDashboard, key: 'd', group: '' },
  { name: 'Services', path: '/services', icon: Boxes, key: 's', group: 'Explore' },
  { name: 'Service map', path: '/map', icon: Network, key: 'p', group: 'Explore' },
  { name: 'Traces', path: '/traces', icon: Waypoints, key: 't', group: 'Explore' },
  { name: 'Logs', path: '/logs', icon: ScrollText, key: 'l', group: 'Explore' },
  { name: 'Metrics', path: '/metrics', icon: ChartLine, key: 'm', group: 'Explore' },
  { name: 'Hosts', path: '/hosts', icon: Server, key: 'h', group: 'Infrastructure' },
  { name: 'Containers', path: '/containers', icon: Container, key: 'c', group: 'Infrastructure' },
  { name: 'Ophion itself', path: '/agent', icon: HeartPulse, key: 'i', group: 'Manage', needs: 'operate' },
  { name: 'Administration', path: '/admin', icon: Settings, key: 'a', group: 'Manage' },
]
