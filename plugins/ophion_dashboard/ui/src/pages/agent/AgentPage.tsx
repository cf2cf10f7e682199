import { Page } from '@/components/Page'

export default function AgentPage() {
  return <Page title="Agent">{null}</Page>
}
