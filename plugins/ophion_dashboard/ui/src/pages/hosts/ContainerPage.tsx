import { Page } from '@/components/Page'

export default function ContainerPage() {
  return <Page title="Container">{null}</Page>
}
