import { Page } from '@/components/Page'

export default function ServicesPage() {
  return <Page title="Services">{null}</Page>
}
