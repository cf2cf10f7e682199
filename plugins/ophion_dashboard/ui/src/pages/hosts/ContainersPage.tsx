import { Page } from '@/components/Page'

export default function ContainersPage() {
  return <Page title="Containers">{null}</Page>
}
