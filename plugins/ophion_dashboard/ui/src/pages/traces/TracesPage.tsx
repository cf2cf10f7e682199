import { Page } from '@/components/Page'

export default function TracesPage() {
  return <Page title="Traces">{null}</Page>
}
