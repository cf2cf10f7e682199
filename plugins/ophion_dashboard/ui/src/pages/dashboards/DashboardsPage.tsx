import { Page } from '@/components/Page'

export default function DashboardsPage() {
  return <Page title="Dashboards">{null}</Page>
}
