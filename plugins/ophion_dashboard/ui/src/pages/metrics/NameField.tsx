import { ChevronDown } from 'lucide-react'
import { useMemo, useState } from 'react'
import { Button, ComboBox, Input, ListBox, ListBoxItem, Popover } from 'react-aria-components'

export interface Choice {
  name: string
  note?: string
}

interface Props {
  label: string
  value: string
  set: (value: string) => void
  choices: readonly Choice[]
  placeholder?: string
  /** Asked for once somebody looks. */
  open?: () => void
}

const MOST = 150

/** Return the choices that hold every word of `typed`: those that begin with it first, `MOST` at most. */
export function matching(choices: readonly Choice[], typed: string): Choice[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean)
  const found = choices.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word)))
  const begins = (choice: Choice) => (choice.name.toLowerCase().startsWith(words[0] ?? '') ? 0 : 1)
  return found.sort((left, right) => begins(left) - begins(right)).slice(0, MOST)
}

/** A name out of many: type to narrow the list, or write one that is not in it. */
export function NameField({ label, value, set, choices, placeholder, open }: Props) {
  const [typed, setTyped] = useState(value)
  const [known, setKnown] = useState(value)
  if (known !== value) {
    setKnown(value)
    setTyped(value)
  }
  const items = useMemo(() => matching(choices, typed === value ? '' : typed), [choices, typed, value])
  const commit = (next: string) => {
    setTyped(next)
    if (next !== value) set(next)
  }
  return (
    <ComboBox
      aria-label={label}
      className="metrics-name"
      allowsCustomValue
      menuTrigger="focus"
      items={items.map((item) => ({ ...item, id: item.name }))}
      inputValue={typed}
      onInputChange={setTyped}
      selectedKey={value || null}
      onSelectionChange={(key) => commit(key === null ? typed.trim() : String(key))}
      onOpenChange={(isOpen) => isOpen && open?.()}
      defaultFilter={() => true}
    >
      <Input className="input" placeholder={placeholder ?? label} onBlur={() => commit(typed.trim())} spellCheck={false} />
      <Button className="metrics-name-open" aria-label={`Choices of ${label}`}>
        <ChevronDown size={13} aria-hidden />
      </Button>
      <Popover className="popover metrics-name-list" placement="bottom start">
        <ListBox className="menu" renderEmptyState={() => <div className="faint small metrics-none">Nothing is named like this</div>}>
          {(item: Choice) => (
            <ListBoxItem id={item.name} textValue={item.name} className="menu-item">
              <span className="ellipsis grow mono">{item.name}</span>
              {item.note ? <span className="faint small">{item.note}</span> : null}
            </ListBoxItem>
          )}
        </ListBox>
      </Popover>
    </ComboBox>
  )
}
