import mark from '@/assets/mark.svg'

export interface Brand {
  name: string
  logo: string
}

function meta(name: string): string | undefined {
  return document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content || undefined
}

/** The name and logo that the server was configured with; the server writes them into the page. */
export function brand(): Brand {
  return { name: meta('application-name') ?? 'Ophion', logo: meta('ophion-logo') ?? mark }
}
