import { text } from '@/api/client'

type Query = Readonly<Record<string, string | number | undefined>>

/** Return the `data` of an answer of the Prometheus API; throws ApiError. */
export async function prometheus(path: string, query: Query, signal?: AbortSignal): Promise<unknown> {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value))
  const body = await text(`/api/v1/${path}?${parameters}`, { signal, headers: { accept: 'application/json' } })
  return (JSON.parse(body) as { data?: unknown }).data
}
