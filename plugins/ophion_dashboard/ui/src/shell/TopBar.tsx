import { CircleHelp, CircleUser, Menu as MenuIcon, Monitor, Moon, PanelLeft, Search, Sun } from 'lucide-react'
import { useNavigate } from '@tanstack/react-router'
import { Button as AriaButton } from 'react-aria-components'
import { IconButton } from '@/components/Button'
import { Menu } from '@/components/Menu'
import { useSay } from '@/components/Toasts'
import { useSession } from './session'
import { TimePicker } from './TimePicker'
import { useTheme, type ThemeChoice } from './theme'

interface Props {
  toggleNav: () => void
  openNav: () => void
  openPalette: () => void
  openHelp: () => void
}

const NEXT: Record<ThemeChoice, ThemeChoice> = { system: 'dark', dark: 'light', light: 'system' }
const THEME_ICONS = { system: Monitor, dark: Moon, light: Sun }

export function TopBar({ toggleNav, openNav, openPalette, openHelp }: Props) {
  const { choice, choose } = useTheme()
  const ThemeIcon = THEME_ICONS[choice]
  return (
    <header className="topbar">
      <span className="only-wide">
        <IconButton label="Fold the list of pages ( [ )" onPress={toggleNav}>
          <PanelLeft size={16} aria-hidden />
        </IconButton>
      </span>
      <span className="only-narrow">
        <IconButton label="Pages" onPress={openNav}>
          <MenuIcon size={18} aria-hidden />
        </IconButton>
      </span>
      <AriaButton className="button find" onPress={openPalette}>
        <Search size={15} aria-hidden />
        <span className="only-wide" aria-hidden>
          Find…
        </span>
        <span className="hidden-visually">Find pages, services and commands</span>
        <span className="kbd only-wide" aria-hidden>
          Ctrl K
        </span>
      </AriaButton>
      <div className="grow" />
      <TimePicker />
      <IconButton label={`Theme: ${choice}`} onPress={() => choose(NEXT[choice])}>
        <ThemeIcon size={16} aria-hidden />
      </IconButton>
      <span className="only-wide">
        <IconButton label="Keyboard and help ( ? )" onPress={openHelp}>
          <CircleHelp size={16} aria-hidden />
        </IconButton>
      </span>
      <UserMenu />
    </header>
  )
}

function UserMenu() {
  const { me, signOut } = useSession()
  const say = useSay()
  const navigate = useNavigate()
  const actions = [
    { id: 'account', name: `${me.subject} (${me.tenant})`, run: () => void navigate({ to: '/admin', search: { tab: 'account' } as never }) },
    { id: 'docs', name: 'API documentation', run: () => window.open('/api/docs', '_blank', 'noopener') },
    { id: 'out', name: 'Sign out', run: () => void signOut().catch(say.failed) },
  ]
  return (
    <Menu label="Account" actions={actions}>
      <AriaButton className="button icon quiet" aria-label={`Account of ${me.subject}`}>
        <CircleUser size={18} aria-hidden />
      </AriaButton>
    </Menu>
  )
}
