import { Link, Outlet, useLocation } from '@tanstack/react-router'
import { lazy, Suspense, useCallback, useEffect, useRef, useState } from 'react'
import { Dialog } from '@/components/Dialog'
import { Skeleton } from '@/components/States'
import { remember, remembered } from '@/lib/storage'
import { brand } from './brand'
import { Help } from './Help'
import { Nav } from './Nav'
import { useSession } from './session'
import { useShortcuts } from './shortcuts'
import { SignInForm } from './SignIn'
import { TimeProvider } from './time'
import { TopBar } from './TopBar'

const Palette = lazy(() => import('./Palette'))

/** What stands around every page. */
export function Shell() {
  return (
    <TimeProvider>
      <Frame />
    </TimeProvider>
  )
}

function Frame() {
  const [narrow, setNarrow] = useState(() => remembered('nav') === 'narrow')
  const [navOpen, setNavOpen] = useState(false)
  const [palette, setPalette] = useState(false)
  const [help, setHelp] = useState(false)
  const toggleNav = useCallback(() => {
    remember('nav', narrow ? 'wide' : 'narrow')
    setNarrow(!narrow)
  }, [narrow])
  const openPalette = useCallback(() => setPalette(true), [])
  const openHelp = useCallback(() => setHelp(true), [])
  const { name, logo } = brand()
  useShortcuts({ palette: openPalette, help: openHelp, toggleNav })
  return (
    <div className={`shell ${narrow ? 'narrow-nav' : ''}`}>
      <a className="skip button" href="#content">
        Skip to the page
      </a>
      <Link to="/" className="brand" aria-label={`${name}: overview`}>
        <img src={logo} alt="" />
        <span>{name}</span>
      </Link>
      <TopBar toggleNav={toggleNav} openNav={() => setNavOpen(!navOpen)} openPalette={openPalette} openHelp={openHelp} />
      <Nav open={navOpen} close={() => setNavOpen(false)} />
      <Content />
      {help ? <Help open close={() => setHelp(false)} /> : null}
      {palette ? (
        <Suspense>
          <Palette open close={() => setPalette(false)} />
        </Suspense>
      ) : null}
      <Expired />
    </div>
  )
}

function Content() {
  const place = useRef<HTMLElement>(null)
  const path = useLocation({ select: (location) => location.pathname })
  const first = useRef(true)
  useEffect(() => {
    // A new page begins at its top, and for screen readers at its content.
    if (!first.current) {
      place.current?.scrollTo(0, 0)
      place.current?.focus({ preventScroll: true })
    }
    first.current = false
  }, [path])
  return (
    <main id="content" className="content" tabIndex={-1} ref={place}>
      <Suspense
        fallback={
          <div className="page">
            <Skeleton height={36} />
            <Skeleton height={300} />
          </div>
        }
      >
        <Outlet />
      </Suspense>
    </main>
  )
}

function Expired() {
  const { expired, renewed } = useSession()
  return expired ? (
    <Dialog title="Your session has ended" open close={() => undefined} width={400}>
      <SignInForm done={renewed} note="Sign in again to go on where you are." />
    </Dialog>
  ) : null
}
