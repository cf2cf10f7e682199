import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Link, retainSearchParams } from '@tanstack/react-router'
import { Empty, Failure } from './components/States'
import { number, parseSearch, stringifySearch, text, type Search } from './lib/search'
import { adminSearch } from './pages/admin/search'
import { dashboardSearch, dashboardsSearch } from './pages/dashboards/search'
import { containersSearch, hostsSearch } from './pages/hosts/search'
import { logsSearch } from './pages/logs/search'
import { metricsSearch } from './pages/metrics/search'
import { mapSearch, servicesSearch } from './pages/services/search'
import { compareSearch, traceSearch, tracesSearch } from './pages/traces/search'
import { Shell } from './shell/Shell'

/** The part of every page's search that all pages share. */
export interface TimeSearch {
  from?: string
  to?: string
  refresh?: number
}

function timeSearch(search: Search): TimeSearch {
  return { from: text(search.from), to: text(search.to), refresh: number(search.refresh) }
}

const root = createRootRoute({
  component: Shell,
  validateSearch: timeSearch,
  search: { middlewares: [retainSearchParams<TimeSearch>(['from', 'to', 'refresh'])] },
  notFoundComponent: NotFound,
  errorComponent: ({ error }) => (
    <div className="page">
      <Failure error={error instanceof Error ? error : new Error(String(error))} retry={() => location.reload()} />
    </div>
  ),
})

function NotFound() {
  return (
    <Empty title="There is no page at this address">
      <Link to="/">Go to the overview</Link>, or press Ctrl K to find something by its name.
    </Empty>
  )
}

const none = (): object => ({})

const routes = [
  createRoute({ getParentRoute: () => root, path: '/', component: lazyRouteComponent(() => import('./pages/overview/OverviewPage')) }),
  createRoute({ getParentRoute: () => root, path: '/services', validateSearch: servicesSearch, component: lazyRouteComponent(() => import('./pages/services/ServicesPage')) }),
  createRoute({ getParentRoute: () => root, path: '/services/$name', validateSearch: servicesSearch, component: lazyRouteComponent(() => import('./pages/services/ServicePage')) }),
  createRoute({ getParentRoute: () => root, path: '/map', validateSearch: mapSearch, component: lazyRouteComponent(() => import('./pages/services/MapPage')) }),
  createRoute({ getParentRoute: () => root, path: '/hosts', validateSearch: hostsSearch, component: lazyRouteComponent(() => import('./pages/hosts/HostsPage')) }),
  createRoute({ getParentRoute: () => root, path: '/hosts/$name', validateSearch: hostsSearch, component: lazyRouteComponent(() => import('./pages/hosts/HostPage')) }),
  createRoute({ getParentRoute: () => root, path: '/containers', validateSearch: containersSearch, component: lazyRouteComponent(() => import('./pages/hosts/ContainersPage')) }),
  createRoute({ getParentRoute: () => root, path: '/containers/$name', validateSearch: containersSearch, component: lazyRouteComponent(() => import('./pages/hosts/ContainerPage')) }),
  createRoute({ getParentRoute: () => root, path: '/metrics', validateSearch: metricsSearch, component: lazyRouteComponent(() => import('./pages/metrics/MetricsPage')) }),
  createRoute({ getParentRoute: () => root, path: '/traces', validateSearch: tracesSearch, component: lazyRouteComponent(() => import('./pages/traces/TracesPage')) }),
  createRoute({ getParentRoute: () => root, path: '/traces/compare', validateSearch: compareSearch, component: lazyRouteComponent(() => import('./pages/traces/ComparePage')) }),
  createRoute({ getParentRoute: () => root, path: '/traces/$traceId', validateSearch: traceSearch, component: lazyRouteComponent(() => import('./pages/traces/TracePage')) }),
  createRoute({ getParentRoute: () => root, path: '/logs', validateSearch: logsSearch, component: lazyRouteComponent(() => import('./pages/logs/LogsPage')) }),
  createRoute({ getParentRoute: () => root, path: '/dashboards', validateSearch: dashboardsSearch, component: lazyRouteComponent(() => import('./pages/dashboards/DashboardsPage')) }),
  createRoute({ getParentRoute: () => root, path: '/dashboards/$uid', validateSearch: dashboardSearch, component: lazyRouteComponent(() => import('./pages/dashboards/DashboardPage')) }),
  createRoute({ getParentRoute: () => root, path: '/snapshots/$id', validateSearch: none, component: lazyRouteComponent(() => import('./pages/dashboards/SnapshotPage')) }),
  createRoute({ getParentRoute: () => root, path: '/agent', validateSearch: none, component: lazyRouteComponent(() => import('./pages/agent/AgentPage')) }),
  createRoute({ getParentRoute: () => root, path: '/admin', validateSearch: adminSearch, component: lazyRouteComponent(() => import('./pages/admin/AdminPage')) }),
] as const

export function makeRouter() {
  return createRouter({
    routeTree: root.addChildren(routes),
    parseSearch,
    stringifySearch,
    defaultPreload: 'intent',
    defaultNotFoundComponent: NotFound,
  })
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof makeRouter>
  }
}
