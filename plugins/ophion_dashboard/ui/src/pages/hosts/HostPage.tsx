import { Page } from '@/components/Page'

export default function HostPage() {
  return <Page title="Host">{null}</Page>
}
