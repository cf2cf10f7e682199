/** The calls of /api/dashboards. */
import { csrfToken, text } from '@/api/client'
import type { DashboardModel, DashboardSummary, SavedDashboard, Snapshot, SnapshotSummary, VersionSummary } from './types'

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

async function call<T>(method: Method, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { accept: 'application/json' }
  if (method !== 'GET') headers['x-csrf-token'] = csrfToken()
  if (body !== undefined) headers['content-type'] = 'application/json'
  const answer = await text(`/api/dashboards${path}`, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) })
  return (answer ? JSON.parse(answer) : undefined) as T
}

const one = (uid: string) => `/${encodeURIComponent(uid)}`

export const listed = (signal?: AbortSignal) => call<DashboardSummary[]>('GET', '', undefined, signal)
export const templates = (signal?: AbortSignal) => call<{ name: string; dashboard: DashboardModel }[]>('GET', '/templates', undefined, signal)
export const shown = (uid: string, signal?: AbortSignal) => call<SavedDashboard>('GET', one(uid), undefined, signal)
export const created = (dashboard: DashboardModel, message = '') => call<SavedDashboard>('POST', '', { dashboard, message })
export const changed = (uid: string, version: number, dashboard: DashboardModel, message = '') =>
  call<SavedDashboard>('PUT', one(uid), { version, dashboard, message })
export const removed = (uid: string) => call<undefined>('DELETE', one(uid))
export const versions = (uid: string, signal?: AbortSignal) => call<VersionSummary[]>('GET', `${one(uid)}/versions`, undefined, signal)
export const version = (uid: string, number: number, signal?: AbortSignal) =>
  call<VersionSummary & { dashboard: DashboardModel }>('GET', `${one(uid)}/versions/${number}`, undefined, signal)
export const restored = (uid: string, number: number) => call<SavedDashboard>('POST', `${one(uid)}/versions/${number}/restore`)
export const starred = (uid: string, star: boolean) => call<undefined>(star ? 'PUT' : 'DELETE', `${one(uid)}/star`)

export interface NewSnapshot {
  title: string
  dashboard: DashboardModel
  start: string
  end: string
  variables: Record<string, string[]>
  data: Record<string, unknown>
  expires_in_days: number
}

export const snapshotMade = (snapshot: NewSnapshot) => call<SnapshotSummary>('POST', '/snapshots', snapshot)
export const snapshot = (id: string, signal?: AbortSignal) => call<Snapshot>('GET', `/snapshots/${encodeURIComponent(id)}`, undefined, signal)
export const snapshotRemoved = (id: string) => call<undefined>('DELETE', `/snapshots/${encodeURIComponent(id)}`)

/** Return a dashboard's YAML. */
export function exported(uid: string): Promise<string> {
  return text(`/api/dashboards${one(uid)}/export`)
}

/** Save the dashboard of a YAML text; throws ApiError with the lines of what is wrong. */
export async function imported(yaml: string, overwrite: boolean): Promise<SavedDashboard> {
  const headers = { 'x-csrf-token': csrfToken(), 'content-type': 'application/yaml' }
  const answer = await text(`/api/dashboards/import${overwrite ? '?overwrite=true' : ''}`, { method: 'POST', headers, body: yaml })
  return JSON.parse(answer) as SavedDashboard
}
