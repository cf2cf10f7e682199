import { useQuery, useQueryClient } from '@tanstack/react-query'
import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from 'react'
import { answer, api, ApiError, csrfToken, sessionEnd, type SchemaMe, type SchemaPermission } from '@/api/client'

interface Session {
  me: SchemaMe
  /** The server no longer knows the session; what is on the page stays until one has signed in again. */
  expired: boolean
  may: (permission: SchemaPermission) => boolean
  signOut: () => Promise<void>
  renewed: () => Promise<void>
}

const SessionContext = createContext<Session | null>(null)

interface Props {
  children: ReactNode
  /** Shown while nobody is signed in. */
  signIn: (done: () => Promise<void>) => ReactNode
  waiting: ReactNode
  failed: (error: Error, retry: () => void) => ReactNode
}

/** Without the cookie that comes with a session there is none, and nothing to ask. */
async function whoIsSignedIn(): Promise<SchemaMe> {
  if (!csrfToken()) throw new ApiError(401, 'Signed out', 'Nobody is signed in.')
  return answer(api.GET('/api/auth/me'))
}

/** Ask who is signed in; shows the sign-in page until somebody is. */
export function SessionProvider({ children, signIn, waiting, failed }: Props) {
  const client = useQueryClient()
  const [expired, setExpired] = useState(false)
  const me = useQuery({ queryKey: ['me'], queryFn: whoIsSignedIn, retry: false, staleTime: Infinity })
  useEffect(() => sessionEnd.listen(() => setExpired(true)), [])

  const renewed = useCallback(async () => {
    setExpired(false)
    await client.invalidateQueries()
  }, [client])
  const signOut = useCallback(async () => {
    await answer(api.POST('/api/auth/logout'))
    client.clear()
    location.assign('/')
  }, [client])

  const session = useMemo<Session | null>(() => {
    if (!me.data) return null
    const known = me.data
    return { me: known, expired, may: (permission) => known.permissions.includes(permission), signOut, renewed }
  }, [me.data, expired, signOut, renewed])

  if (session) return <SessionContext value={session}>{children}</SessionContext>
  if (me.error instanceof ApiError && (me.error.status === 401 || me.error.status === 403)) return signIn(renewed)
  return me.error ? failed(me.error, () => void me.refetch()) : waiting
}

export function useSession(): Session {
  const session = useContext(SessionContext)
  if (!session) throw new Error('useSession needs a SessionProvider')
  return session
}
