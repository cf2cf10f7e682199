import { Page } from '@/components/Page'

export default function TracePage() {
  return <Page title="Trace">{null}</Page>
}
