import { Page } from '@/components/Page'

export default function ServicePage() {
  return <Page title="Service">{null}</Page>
}
