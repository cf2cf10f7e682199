import { Page } from '@/components/Page'

export default function HostsPage() {
  return <Page title="Hosts">{null}</Page>
}
