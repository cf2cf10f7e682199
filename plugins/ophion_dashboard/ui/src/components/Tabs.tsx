import type { ReactNode } from 'react'
import { Tab, TabList, TabPanel, Tabs as AriaTabs } from 'react-aria-components'

export interface TabItem {
  id: string
  name: ReactNode
  content: () => ReactNode
}

/** Tabs whose choice the caller keeps, in the URL. */
export function Tabs({ label, tabs, value, set }: { label: string; tabs: readonly TabItem[]; value: string; set: (id: string) => void }) {
  return (
    <AriaTabs className="tabs column" selectedKey={value} onSelectionChange={(key) => set(String(key))}>
      <TabList aria-label={label}>
        {tabs.map((tab) => (
          <Tab key={tab.id} id={tab.id} className="tab">
            {tab.name}
          </Tab>
        ))}
      </TabList>
      {tabs.map((tab) => (
        <TabPanel key={tab.id} id={tab.id}>
          {tab.content()}
        </TabPanel>
      ))}
    </AriaTabs>
  )
}
