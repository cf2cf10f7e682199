// jsdom has no media queries; uPlot asks for one when it is loaded.
Object.defineProperty(globalThis, 'matchMedia', { value: () => ({ matches: false, addEventListener: () => undefined, removeEventListener: () => undefined }) })
