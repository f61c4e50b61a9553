import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDeviceKeys, deviceIdOf } from '@cofolder/protocol'
import { RelayError } from './errors.ts'
import { limitKey } from './http/address.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { createRateLimiter } from './rates.ts'
import { createRecentDevices } from './rights/devices.ts'

test('a bucket gives its burst, then what flows back, for each key alone', () => {
  let now = 1000
  const limiter = createRateLimiter({ burst: 3, perSecond: 2 }, 'things', () => now)
  for (let i = 0; i < 3; i++) limiter.take('a')
  assert.throws(
    () => limiter.take('a'),
    (error) => error instanceof RelayError && error.code === 'rate-limited' && error.retryAfter === 1,
  )
  limiter.take('b', 3)
  now += 500
  limiter.take('a')
  assert.throws(() => limiter.take('a'))
  now += 60_000
  limiter.take('a', 3)
  assert.throws(() => limiter.take('a'), 'no more than the burst gathers')
  now -= 50_000
  assert.throws(() => limiter.take('a'), 'a clock that goes back gives nothing')
})

test('addresses that belong together count as one', () => {
  assert.equal(limitKey('10.0.0.1'), '10.0.0.1')
  assert.equal(limitKey('::ffff:10.0.0.1'), '10.0.0.1')
  assert.equal(limitKey('2001:db8:1:2:3:4:5:6'), limitKey('2001:db8:1:2::9'))
  assert.notEqual(limitKey('2001:db8:1:2::9'), limitKey('2001:db8:1:3::9'))
  assert.equal(limitKey('::1'), '0:0:0:0')
})

test('devices are recent for a while after they were seen, and as long as they are connected', () => {
  let now = 0
  const devices = createRecentDevices({
    limits: { ...DEFAULT_LIMITS, recentDevice: 10, recentDevices: 2 },
    clock: () => now,
  })
  const [a, b, c] = [1, 2, 3].map(() => deviceIdOf(createDeviceKeys()))
  if (!a || !b || !c) throw new Error('three devices')
  devices.saw(a)
  assert.ok(devices.isRecent(a) && !devices.isRecent(b))
  const release = devices.hold(b)
  now = 20
  assert.ok(!devices.isRecent(a) && devices.isRecent(b))
  release()
  assert.ok(devices.isRecent(b))
  devices.saw(a)
  devices.saw(c)
  assert.equal(devices.count, 2, 'bounded')
})
