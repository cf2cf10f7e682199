import createClient, { type Middleware } from 'openapi-fetch'
import type { paths } from './schema'

export type * from './schema'

/** One input that the server refused: where it stood, and why. */
export interface RefusedInput {
  location: string
  message: string
}

/** An answer that is no success: the server's problem document (RFC 9457), or status 0 where no answer came. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly errors: RefusedInput[] = [],
    readonly errorId?: string,
  ) {
    super(detail || title)
    this.name = 'ApiError'
  }
}

type Listener = () => void

/** Tells those who listen that the session has ended (401 on anything but the sign-in). */
export class SessionEnd {
  private readonly listeners = new Set<Listener>()

  listen(listener: Listener): Listener {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  announce(): void {
    for (const listener of this.listeners) listener()
  }
}

export const sessionEnd = new SessionEnd()

const CSRF_COOKIES = ['__Host-ophion_csrf', 'ophion_csrf']

/** Return the CSRF token that the server left for pages in a cookie, or '' without a session. */
export function csrfToken(cookies = document.cookie): string {
  const values = new Map(cookies.split('; ').map((one) => [one.slice(0, one.indexOf('=')), one.slice(one.indexOf('=') + 1)]))
  return CSRF_COOKIES.map((name) => values.get(name)).find(Boolean) ?? ''
}

const session: Middleware = {
  onRequest({ request }) {
    if (request.method !== 'GET' && request.method !== 'HEAD') request.headers.set('x-csrf-token', csrfToken())
    return request
  },
  onResponse({ response, schemaPath }) {
    if (response.status === 401 && !schemaPath.startsWith('/api/auth/')) sessionEnd.announce()
  },
}

export const api = createClient<paths>({
  baseUrl: globalThis.location?.origin ?? '',
  querySerializer: { array: { style: 'form', explode: true } },
})
api.use(session)

interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

/** Return what a call of `api` answered; throws ApiError. */
export async function answer<T>(call: Promise<Answer<T>>): Promise<NonNullable<T>> {
  const { data, error, response } = await call.catch(unreachable)
  if (!response.ok) throw problem(response, error)
  return data as NonNullable<T>
}

/** Return the body of a path as text, such as an export; throws ApiError. */
export async function text(path: string, init: RequestInit = {}): Promise<string> {
  const response = await fetch(path, init).catch(unreachable)
  const body = await response.text()
  if (!response.ok) {
    if (response.status === 401) sessionEnd.announce()
    throw problem(response, parsed(body))
  }
  return body
}

function unreachable(cause: unknown): never {
  if (cause instanceof DOMException && cause.name === 'AbortError') throw cause
  throw new ApiError(0, 'No answer', 'The server cannot be reached. It is asked again while this page is open.')
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

function problem(response: Response, body: unknown): ApiError {
  const known = (typeof body === 'object' && body !== null ? body : {}) as Partial<Record<string, unknown>>
  const title = typeof known.title === 'string' ? known.title : response.statusText || `Status ${response.status}`
  const detail = typeof known.detail === 'string' ? known.detail : ''
  const errors = Array.isArray(known.errors) ? (known.errors as RefusedInput[]) : []
  return new ApiError(response.status, title, detail, errors, known.error_id as string | undefined)
}
