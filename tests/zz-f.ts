import * as fsp from 'node:fs/promises'
import { Group, until } from '../node/src/sync/testing/people.ts'
const group = await Group.make({ alice: 'owner', bob: 'editor' }, { watch: true })
const [alice, bob] = [group.person('alice'), group.person('bob')]
  for (let d = 0; d < 20; d++) {
    await fsp.mkdir(alice.at(`d${d}`))
    await Promise.all(Array.from({ length: 60 }, (_, i) => fsp.writeFile(alice.at(`d${d}/f${i}`), `${d} ${i}`)))
  }
  await until('all arrive', () => bob.placement.state().filesTotal === 1200, 20_000)
  for (let d = 0; d < 4; d++) await fsp.rm(bob.at(`d${d}`), { recursive: true })
  await Promise.all(Array.from({ length: 60 }, (_, i) => fsp.rename(bob.at(`d5/f${i}`), bob.at(`d6/g${i}`))))
  await new Promise(r=>setTimeout(r,3000))
  const a=await alice.files(), b=await bob.files()
  console.log(alice.placement.state(), bob.placement.state(), alice.placement.problems().slice(0,3), bob.placement.problems().slice(0,3), Object.keys(a).length, Object.keys(b).length, Object.keys(a).filter(k=>!(k in b)).slice(0,5), Object.keys(b).filter(k=>!(k in a)).slice(0,5), alice.share.fingerprint===bob.share.fingerprint)
  await Promise.all([alice.placement.scan(),bob.placement.scan()])
  console.log(alice.placement.state(), bob.placement.state())
console.log(alice.placement.problems().slice(0,4),[...alice.share.tree().byPath.keys()].filter(k=>/d[56]\//.test(k)).slice(0,4), alice.share.tree().byPath.size);
await group[Symbol.asyncDispose]()
