import { Page } from '@/components/Page'

export default function MapPage() {
  return <Page title="Map">{null}</Page>
}
