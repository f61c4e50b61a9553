import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { crypto } from '#crypto'
import { inviteIdOf, shareIdOf } from '../identity/derive.ts'
import { createIdentity, type Identity } from '../identity/identity.ts'
import type { ChangeId } from '../ids.ts'
import { type ChangeBody, type MembershipChange, type SealedChange, sealChange } from './change.ts'
import { foldMembership } from './fold.ts'
import { inviteAgreementSecret } from './wraps.ts'

const person = (name: string): Identity => createIdentity({ name, deviceName: 'pc', at: 1 })
const alice = person('Alice')
const [bob, carl] = [person('Bob'), person('Carl')]
const adminSeed = crypto.randomBytes(32)
const share = shareIdOf(crypto.ed25519PublicKey(adminSeed))
const root = crypto.randomBytes(32)

type BodyOf<Kind> = Omit<Extract<ChangeBody, { kind: Kind }>, 'share' | 'at' | 'prev' | 'kind'>
const common = (prev: readonly SealedChange[]) => ({ share, at: 1, prev: prev.map(({ id }) => id) })

const created = sealChange(
  root,
  {
    ...{ kind: 'create', ...common([]), user: alice.userId, name: 'Alice', certificate: alice.certificate },
    ...{ epoch: 0, wraps: [] },
  },
  [adminSeed, alice.user.seed, alice.device.seed],
)
const door = (seed: Uint8Array, prev: readonly SealedChange[], body: Partial<BodyOf<'invite'>> = {}) =>
  sealChange(
    root,
    {
      ...{
        kind: 'invite',
        ...common(prev),
        inviteKey: crypto.ed25519PublicKey(seed),
        role: 'editor',
        wraps: [],
      },
      ...{ agreementKey: crypto.x25519PublicKey(inviteAgreementSecret(seed)), ...body },
    },
    [adminSeed],
  )
const joined = (who: Identity, seed: Uint8Array, prev: readonly SealedChange[]) =>
  sealChange(
    root,
    {
      ...{ kind: 'join', ...common(prev), inviteKey: crypto.ed25519PublicKey(seed) },
      ...{ user: who.userId, name: who.name, certificate: who.certificate },
    },
    [seed, who.user.seed, who.device.seed],
  )
const putOut = (kind: 'remove' | 'demote', who: Identity, prev: readonly SealedChange[], last = 0) =>
  sealChange(
    root,
    { kind, ...common(prev), user: who.userId, cutoffs: [[who.deviceId, last]], epoch: 1, wraps: [] },
    [adminSeed],
  )
const promoted = (who: Identity, prev: readonly SealedChange[]) =>
  sealChange(root, { kind: 'promote', ...common(prev), user: who.userId, wraps: [] }, [adminSeed])
const left = (who: Identity, prev: readonly SealedChange[]) =>
  sealChange(root, { kind: 'leave', ...common(prev), user: who.userId }, [who.user.seed])
const revoked = (seed: Uint8Array, prev: readonly SealedChange[]) =>
  sealChange(
    root,
    { kind: 'revoke-invite', ...common(prev), invite: inviteIdOf(crypto.ed25519PublicKey(seed)) },
    [adminSeed],
  )

const fold = (...changes: readonly MembershipChange[]) =>
  foldMembership(share, new Map(changes.map((change) => [change.id, change])))
const memberOf = (folded: ReturnType<typeof fold>, who: Identity) => folded.state?.members.get(who.userId)

const link = crypto.randomBytes(32)
const invite = door(link, [created])
const bobIn = joined(bob, link, [invite])
const carlIn = joined(carl, link, [invite])

test('nothing without the first change, and nothing before what it builds on', () => {
  assert.equal(fold().state, undefined)
  assert.equal(fold(invite, bobIn).state, undefined)
  const gap = fold(created, bobIn)
  assert.equal(gap.accepted.length, 1)
  assert.equal(memberOf(gap, bob), undefined)
  const whole = fold(bobIn, invite, created)
  assert.equal(memberOf(whole, bob)?.role, 'editor')
  assert.deepEqual(whole.state?.heads, [bobIn.id])
})

test('a removal beats whatever the removed did without knowing of it', () => {
  const removal = putOut('remove', bob, [bobIn])
  const folded = fold(created, invite, bobIn, removal, left(bob, [bobIn]), joined(bob, link, [bobIn]))
  assert.equal(memberOf(folded, bob)?.status, 'removed')
  assert.equal(folded.accepted.length, 4)
  // Through the door that he came in by nobody comes in any more, unless the owner had seen him.
  assert.equal(memberOf(fold(created, invite, bobIn, carlIn, removal), carl), undefined)
  const seen = putOut('remove', bob, [bobIn, carlIn])
  assert.equal(memberOf(fold(created, invite, bobIn, carlIn, seen), carl)?.status, 'active')
  assert.equal(fold(created, invite, bobIn, removal).state?.invites.size, 0)
})

test('a demotion beats a promotion that did not know of it, and yields to one that did', () => {
  const demotion = putOut('demote', bob, [bobIn])
  const unaware = promoted(bob, [bobIn])
  assert.equal(memberOf(fold(created, invite, bobIn, demotion, unaware), bob)?.role, 'viewer')
  const aware = promoted(bob, [demotion])
  assert.equal(memberOf(fold(created, invite, bobIn, demotion, unaware, aware), bob)?.role, 'editor')
})

test('a revoked invite lets in nobody whose join the owner had not seen', () => {
  const revocation = revoked(link, [invite])
  assert.equal(memberOf(fold(created, invite, bobIn, revocation), bob), undefined)
  assert.equal(memberOf(fold(created, invite, bobIn, revoked(link, [bobIn])), bob)?.status, 'active')
})

test('an invite for somebody is used up by him, and lets in nobody else', () => {
  const seed = crypto.randomBytes(32)
  const forBob = door(seed, [created], { for: bob.userId, expires: 1 })
  const inByIt = joined(bob, seed, [forBob])
  const folded = fold(created, forBob, inByIt, joined(carl, seed, [forBob]))
  assert.equal(memberOf(folded, bob)?.status, 'active')
  assert.equal(memberOf(folded, carl), undefined)
  assert.equal(folded.state?.invites.size, 0)
  const gone = left(bob, [inByIt])
  assert.equal(memberOf(fold(created, forBob, inByIt, gone, joined(bob, seed, [gone])), bob)?.status, 'left')
})

test('what a batch may say follows from what its author knew, and from what counts of him', () => {
  const demotion = putOut('demote', bob, [bobIn], 5)
  const again = promoted(bob, [demotion])
  const folded = fold(created, invite, bobIn, demotion, again)
  const roleAt = (seq: number, heads: readonly ChangeId[]) => {
    const standing = folded.standing({ device: bob.deviceId, seq, heads })
    return standing.known ? standing.role : 'not known yet'
  }
  assert.equal(roleAt(5, [bobIn.id]), 'editor')
  assert.equal(roleAt(6, [bobIn.id]), undefined)
  assert.equal(roleAt(6, [demotion.id]), 'viewer')
  assert.equal(roleAt(6, [again.id]), 'editor')
  assert.equal(roleAt(1, [invite.id]), undefined)
  assert.equal(roleAt(1, [carlIn.id]), 'not known yet')
  assert.deepEqual(folded.basisOf(bob.deviceId), [again.id])
})

test('a new epoch is due when somebody left, or when two began at once', () => {
  assert.equal(fold(created, invite, bobIn).state?.rotationDue, false)
  assert.equal(fold(created, invite, bobIn, left(bob, [bobIn])).state?.rotationDue, true)
  const [one, two] = [putOut('remove', bob, [bobIn]), putOut('remove', bob, [invite])]
  assert.equal(fold(created, invite, bobIn, one).state?.rotationDue, false)
  assert.equal(fold(created, invite, bobIn, one, two).state?.rotationDue, true)
})

test('the order in which changes are known makes no difference', () => {
  const removal = putOut('remove', bob, [bobIn])
  const changes = [
    ...[created, invite, bobIn, carlIn, removal, promoted(bob, [bobIn]), promoted(carl, [carlIn])],
    ...[left(carl, [carlIn]), revoked(link, [carlIn]), putOut('demote', carl, [carlIn, removal])],
  ]
  const picture = (list: readonly MembershipChange[]) => {
    const { state, accepted } = fold(...list)
    return { state, accepted: accepted.map(({ id }) => id) }
  }
  fc.assert(
    fc.property(fc.subarray(changes, { minLength: 1 }), fc.infiniteStream(fc.nat()), (some, random) => {
      const shuffled = some
        .map((change) => ({ change, key: random.next().value ?? 0 }))
        .sort((a, b) => a.key - b.key)
        .map(({ change }) => change)
      assert.deepEqual(picture(shuffled), picture(some))
    }),
  )
})
