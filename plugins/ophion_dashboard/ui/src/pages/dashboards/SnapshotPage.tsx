import { Page } from '@/components/Page'

export default function SnapshotPage() {
  return <Page title="Snapshot">{null}</Page>
}
