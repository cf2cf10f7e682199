import { QueryCache, QueryClient, QueryClientProvider, keepPreviousData } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { ApiError } from './api/client'
import { Failure, Skeleton } from './components/States'
import { ToastProvider } from './components/Toasts'
import { mendLocale } from './lib/locale'
import { makeRouter } from './router'
import { SessionProvider } from './shell/session'
import { SignInPage } from './shell/SignIn'
import { ThemeProvider } from './shell/theme'
import './styles/tokens.css'
import './styles/base.css'
import './styles/components.css'
import './styles/shell.css'

mendLocale()

function shouldRetry(failures: number, error: Error): boolean {
  const isTransient = !(error instanceof ApiError) || error.status === 0 || error.status === 503
  return isTransient && failures < 2
}

const queries = new QueryClient({
  queryCache: new QueryCache(),
  defaultOptions: {
    queries: { retry: shouldRetry, staleTime: 10_000, placeholderData: keepPreviousData, refetchOnWindowFocus: false },
  },
})
const router = makeRouter()

function App() {
  return (
    <StrictMode>
      <QueryClientProvider client={queries}>
        <ThemeProvider>
          <ToastProvider>
            <SessionProvider
              signIn={(done) => <SignInPage done={done} />}
              waiting={<Skeleton height="100%" />}
              failed={(error, retry) => (
                <main className="page">
                  <Failure error={error} retry={retry} />
                </main>
              )}
            >
              <RouterProvider router={router} />
            </SessionProvider>
          </ToastProvider>
        </ThemeProvider>
      </QueryClientProvider>
    </StrictMode>
  )
}

const root = document.getElementById('root')
if (!root) throw new Error('index.html has no #root')
createRoot(root).render(<App />)
