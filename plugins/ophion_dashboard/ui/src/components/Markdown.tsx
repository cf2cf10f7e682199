import DOMPurify from 'dompurify'
import { marked } from 'marked'
import { useEffect, useRef } from 'react'

/** Markdown that people wrote, as HTML without scripts, styles, forms and pictures of other origins. */
export default function Markdown({ text }: { text: string }) {
  const place = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const html = marked.parse(text, { async: false, gfm: true })
    const clean = DOMPurify.sanitize(html, {
      RETURN_DOM_FRAGMENT: true,
      FORBID_TAGS: ['style', 'form', 'input', 'img', 'video', 'audio', 'iframe', 'svg', 'math'],
      FORBID_ATTR: ['style', 'srcset'],
    })
    for (const link of clean.querySelectorAll('a')) link.setAttribute('rel', 'noopener noreferrer')
    place.current?.replaceChildren(clean)
  }, [text])
  return <div ref={place} className="markdown" />
}
