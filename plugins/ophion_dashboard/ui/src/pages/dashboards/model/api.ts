/** The calls of /api/dashboards. */
import { answer, api, csrfToken, text, type SchemaNewSnapshot } from '@/api/client'
import type { DashboardModel, SavedDashboard } from './types'

const named = (uid: string) => ({ params: { path: { uid } } })
const numbered = (uid: string, version: number) => ({ params: { path: { uid, version: String(version) } } })

export const listed = (signal?: AbortSignal) => answer(api.GET('/api/dashboards', { signal }))
export const templates = (signal?: AbortSignal) => answer(api.GET('/api/dashboards/templates', { signal }))
export const shown = (uid: string, signal?: AbortSignal) => answer(api.GET('/api/dashboards/{uid}', { ...named(uid), signal }))

export const created = (dashboard: DashboardModel, message = '') =>
  answer(api.POST('/api/dashboards', { body: { uid: null, dashboard, message } }))

export const changed = (uid: string, since: number, dashboard: DashboardModel, message = '') =>
  answer(api.PUT('/api/dashboards/{uid}', { ...named(uid), body: { version: since, dashboard, message } }))

export const removed = (uid: string) => answer(api.DELETE('/api/dashboards/{uid}', named(uid)))

export const versions = (uid: string, signal?: AbortSignal) => answer(api.GET('/api/dashboards/{uid}/versions', { ...named(uid), signal }))

export const version = (uid: string, number: number, signal?: AbortSignal) =>
  answer(api.GET('/api/dashboards/{uid}/versions/{version}', { ...numbered(uid, number), signal }))

export const restored = (uid: string, number: number) =>
  answer(api.POST('/api/dashboards/{uid}/versions/{version}/restore', numbered(uid, number)))

export const starred = (uid: string, star: boolean) =>
  answer(star ? api.PUT('/api/dashboards/{uid}/star', named(uid)) : api.DELETE('/api/dashboards/{uid}/star', named(uid)))

export const snapshotMade = (body: SchemaNewSnapshot) => answer(api.POST('/api/dashboards/snapshots', { body }))

export const snapshot = (id: string, signal?: AbortSignal) =>
  answer(api.GET('/api/dashboards/snapshots/{id}', { params: { path: { id } }, signal }))

/** Return a dashboard's YAML. */
export function exported(uid: string): Promise<string> {
  return text(`/api/dashboards/${encodeURIComponent(uid)}/export`)
}

/** Save the dashboard of a YAML text; throws ApiError with the lines of what is wrong. */
export async function imported(yaml: string, overwrite: boolean): Promise<SavedDashboard> {
  const headers = { 'x-csrf-token': csrfToken(), 'content-type': 'application/yaml' }
  const saved = await text(`/api/dashboards/import${overwrite ? '?overwrite=true' : ''}`, { method: 'POST', headers, body: yaml })
  return JSON.parse(saved) as SavedDashboard
}
