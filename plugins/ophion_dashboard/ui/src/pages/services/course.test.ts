import { expect, it } from 'vitest'
import { pointsOf, stepAround } from './course'

it('places values at the begin of their steps', () => {
  expect(pointsOf({ start: 100, step_seconds: 30 }, [1, null, 3])).toEqual([[100, 1], [130, null], [160, 3]])
})

it('finds the step that was clicked, a minute at least', () => {
  expect(stepAround({ start: 600, step_seconds: 120 }, 725_000)).toEqual({ from: 720_000, to: 840_000 })
  expect(stepAround({ start: 600, step_seconds: 15 }, 661_000)).toEqual({ from: 660_000, to: 720_000 })
})
