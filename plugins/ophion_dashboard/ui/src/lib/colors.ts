/** Colours of series: told apart with every kind of colour blindness (after Okabe and Ito, and Paul Tol). */

const LIGHT = ['#0072b2', '#d55e00', '#009e73', '#aa3377', '#8a6d00', '#56a0d3', '#882255', '#44803f', '#6a51a3', '#666666']
const DARK = ['#56b4e9', '#ee9a4d', '#3ccfa0', '#e390bd', '#e6d04f', '#8fb9ff', '#f28ca0', '#a5d46a', '#b9a5f0', '#b8b8b8']

export function seriesColor(index: number, dark: boolean): string {
  const palette = dark ? DARK : LIGHT
  return palette[index % palette.length] ?? '#888888'
}

/** Return the colour of a name, the same on every page: services keep theirs from chart to trace. */
export function nameColor(name: string, dark: boolean): string {
  let hash = 2166136261
  for (let index = 0; index < name.length; index += 1) hash = Math.imul(hash ^ name.charCodeAt(index), 16777619)
  return seriesColor((hash >>> 0) % LIGHT.length, dark)
}
