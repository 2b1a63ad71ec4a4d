// Files that are given to a user and taken back: owners, what is remembered of them, entries of ACLs, links.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  lchownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { fileToGive, type GivenFile, OwnerChange } from '../../src/host/dac.ts'
import { WORKER } from '../../src/host/dac-worker.ts'
import { isAlive } from '../../src/state/status.ts'
import { errorOf } from '../helper/definition.ts'
import { attributesOf, ownerOf, setAttributes, succeedsAs } from '../helper/owners.ts'

const skip = process.getuid?.() !== 0 && 'only root can give files away'
const A = 231_001
const B = 231_002
const DAC = 'trusted.libvirt.security.dac'
const REF = 'trusted.libvirt.security.ref_dac'
const TIME = 'trusted.libvirt.security.timestamp_dac'
const MARK = 'trusted.virshim.dac'
const ACL = 'system.posix_acl_access'

const dir = mkdtempSync(join(tmpdir(), 'virshim-dac-'))
chmodSync(dir, 0o711)
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

let made = 0
/** A file with an owner and a mode. */
function file(uid: number, mode: number, at = join(dir, `file-${made++}`)): string {
  writeFileSync(at, 'x')
  chownSync(at, uid, uid)
  chmodSync(at, mode)
  return at
}

type Kind = Pick<GivenFile, 'own' | 'write'>
const OWN: Kind = { own: true, write: true }
const READ: Kind = { own: false, write: false }
const given = (path: string, uid: number, kind = OWN) => fileToGive(path, { uid, gid: uid }, kind)

interface Asked {
  run?: string
  alone?: boolean
  groups?: number[]
}
const request = (asked: Asked, files: { give?: GivenFile[]; back?: GivenFile[] }) => ({
  run: 'run-one',
  alone: true,
  groups: [],
  ...asked,
  give: [],
  back: [],
  ...files
})
const give = (files: GivenFile[], asked: Asked = {}) => new OwnerChange().tell(request(asked, { give: files }))
const takeBack = (files: GivenFile[], asked: Asked = {}) => new OwnerChange().tell(request(asked, { back: files }))

t.test('a file of its own goes to the user, and back to whom it belonged', { skip }, async t => {
  const path = file(1234, 0o600)
  const one = given(path, A)
  t.same((await give([one])).how, ['owner'])
  t.equal(ownerOf(path), `${A}:${A} 600`)
  t.match(attributesOf(path), { [DAC]: '+1234:+1234', [REF]: '1', [TIME]: /^\d{10}$/ }, 'as libvirt remembers it')
  t.same((await takeBack([one])).left, [])
  t.equal(ownerOf(path), '1234:1234 600')
  t.same(attributesOf(path), {}, 'nothing is left in it')
  await takeBack([one])
  t.equal(ownerOf(path), '1234:1234 600', 'what is not given is not taken back')
})

t.test('a file that another has is refused, one of the same user counted', { skip }, async t => {
  const [path, other] = [file(0, 0o600), file(5, 0o600)]
  const shared = { alone: false }
  const first = given(path, A)
  await give([first], shared)
  const second = given(path, B)
  t.match(
    await errorOf(() => give([given(other, B), second], { run: 'two' })),
    `OPERATION_INVALID: Requested operation is not valid: Setting different DAC user or group on ${path} which is already in use`
  )
  t.equal(ownerOf(other), '5:5 600', 'what came before it is taken back')
  t.same(attributesOf(other), {})
  const again = given(path, A)
  await give([again], { run: 'three', ...shared })
  t.match(attributesOf(path), { [DAC]: '+0:+0', [REF]: '2' })
  await takeBack([first], shared)
  t.equal(ownerOf(path), `${A}:${A} 600`, 'the other one still has it')
  await takeBack([first], shared)
  t.match(attributesOf(path), { [REF]: '1' }, 'and is not counted out')
  await takeBack([again], { run: 'three', ...shared })
  t.equal(ownerOf(path), '0:0 600')
})

t.test('a file that libvirt has remembered', { skip }, async t => {
  const path = file(0, 0o600)
  const one = given(path, A)
  await give([one])
  const time = attributesOf(path)[TIME]
  await takeBack([one])
  // as libvirtd has left it for a guest of its own
  setAttributes(path, { [DAC]: '+7:+8', [REF]: '1', [TIME]: time })
  chownSync(path, B, B)
  t.match(await errorOf(() => give([given(path, A)])), /Setting different DAC user/)
  t.same(attributesOf(path), { [DAC]: '+7:+8', [REF]: '1', [TIME]: time })
  const same = given(path, B)
  await give([same], { alone: false })
  t.match(attributesOf(path), { [REF]: '2' })
  await takeBack([same], { alone: false })
  t.same(attributesOf(path), { [DAC]: '+7:+8', [REF]: '1', [TIME]: time })
  t.equal(ownerOf(path), `${B}:${B} 600`, 'it is libvirt’s to give back')

  // of a former boot, whose guests are gone
  setAttributes(path, { [TIME]: '1000' })
  const later = given(path, A)
  await give([later])
  t.match(attributesOf(path), { [DAC]: `+${B}:+${B}`, [REF]: '1' }, 'libvirt, too, takes its owner for the first')
  await takeBack([later])
  t.equal(ownerOf(path), `${B}:${B} 600`)

  setAttributes(path, { [DAC]: '+7:+8', [REF]: '3', [TIME]: '1000', [MARK]: `0000:0000:${B}:o` })
  const known = given(path, A)
  await give([known])
  t.match(attributesOf(path), { [DAC]: '+7:+8', [REF]: '1' }, 'of what we gave in a former boot the owner is known')
  await takeBack([known])
  t.equal(ownerOf(path), '7:8 600')
  t.same(attributesOf(path), {})
})

t.test('a file that others may have is opened to the user, whoever it belongs to', { skip }, async t => {
  const path = file(1234, 0o640)
  const [a, b] = [given(path, A, READ), given(path, B, READ)]
  t.notOk(succeedsAs(A, 'cat', path))
  t.same((await give([a])).how, ['acl'])
  t.same((await give([b], { run: 'two' })).how, ['acl'])
  for (const uid of [A, B]) t.ok(succeedsAs(uid, 'cat', path), `uid ${uid} reads it`)
  t.notOk(succeedsAs(A, 'dd', 'if=/dev/zero', `of=${path}`, 'count=0', 'conv=notrunc'), 'and does not write')
  t.match(ownerOf(path), /^1234:1234/)
  await takeBack([a])
  t.notOk(succeedsAs(A, 'cat', path))
  t.ok(succeedsAs(B, 'cat', path))
  await takeBack([b], { run: 'two' })
  t.equal(ownerOf(path), '1234:1234 640', 'its mode is what it was')
  t.notOk(ACL in attributesOf(path))

  const open = file(0, 0o644)
  t.same((await give([given(open, A, READ)])).how, ['none'], 'a file that all may read stays as it is')
  t.same(attributesOf(open), {})
  t.same((await give([given(open, A, { own: false, write: true })])).how, ['acl'], 'but for writing')
  t.ok(succeedsAs(A, 'dd', 'if=/dev/zero', `of=${open}`, 'count=0', 'conv=notrunc'))
  const group = file(9, 0o640)
  t.same((await give([given(group, A, READ)], { groups: [9] })).how, ['none'], 'a group of the user’s may read it')
})

t.test('users that several guests have are let in until the last is gone', { skip }, async t => {
  const path = file(0, 0o600)
  const one = given(path, A, READ)
  await give([one], { alone: false })
  await give([one], { run: 'two', alone: false })
  await takeBack([one], { alone: false })
  t.ok(succeedsAs(A, 'cat', path))
  await takeBack([one], { run: 'two', alone: false })
  t.notOk(succeedsAs(A, 'cat', path))
  t.same(attributesOf(path), {})
})

t.test('links are followed where they may be trusted', { skip }, async t => {
  const image = file(1234, 0o600)
  const of = (uid: number, to: string) => {
    const link = join(dir, `link-${made++}`)
    symlinkSync(to, link)
    lchownSync(link, uid, uid)
    return link
  }
  const ours = of(0, image)
  await give([given(ours, A)])
  t.equal(ownerOf(image), `${A}:${A} 600`, 'a link of root’s')
  await takeBack([given(ours, A)])
  await takeBack([{ ...given(ours, A), was: { uid: 1234, gid: 1234 } }])
  t.equal(ownerOf(image), '1234:1234 600')
  const theirs = of(1234, image)
  const one = given(theirs, A)
  await give([one])
  t.equal(ownerOf(image), `${A}:${A} 600`, 'one of the user’s that the image belongs to')
  await takeBack([one])
  t.equal(ownerOf(image), '1234:1234 600')
  const secret = file(0, 0o600)
  t.match(await errorOf(() => give([given(of(1234, secret), A)])), /OPERATION_INVALID.* leads by a link of uid 1234/)
  mkdirSync(join(dir, 'real'))
  const below = file(0, 0o600, join(dir, 'real', 'secret'))
  const way = `${of(1234, join(dir, 'real'))}/../real/secret`
  t.match(await errorOf(() => give([given(way, A)])), /leads by a link/, 'directories too')
  t.equal(ownerOf(secret), '0:0 600')
  t.equal(ownerOf(below), '0:0 600')
  const circle = join(dir, 'circle')
  symlinkSync(circle, circle)
  t.match(await errorOf(async () => given(circle, A)), /SYSTEM_ERROR.*unable to stat/)
})

t.test('another file in the place of one that was given is left alone', { skip }, async t => {
  const path = file(1234, 0o600)
  const kept = `${path}.kept`
  const one = given(path, A)
  await give([one])
  renameSync(path, kept)
  file(A, 0o600, path)
  await takeBack([one])
  t.equal(ownerOf(path), `${A}:${A} 600`)
  rmSync(path)
  t.same((await takeBack([one])).left, [], 'nor is one missed that is gone')
  linkSync(kept, path)
  await takeBack([one])
  t.equal(ownerOf(kept), '1234:1234 600', 'it is known by what it is, not by its name')
  const late = given(path, A)
  rmSync(path)
  file(0, 0o600, path)
  t.match(await errorOf(() => give([late])), /has become another file/)
})

t.test('nothing is done by halves', { skip }, async t => {
  const path = file(1234, 0o600)
  const one = given(path, A)
  const text = JSON.stringify({ boot: 'b', ...request({}, { give: [one] }) })
  for (const input of ['', text.slice(0, -1)]) {
    t.equal(spawnSync('/usr/bin/python3', ['-ISc', WORKER], { input }).status, 1, 'a request that breaks off')
    t.equal(ownerOf(path), '1234:1234 600')
  }
  const change = new OwnerChange()
  t.ok(isAlive(change.identity!), 'it waits')
  await change.tell(request({}, { give: [one] }))
  t.notOk(isAlive(change.identity!), 'and is gone when it has answered')
  // killed between its steps, with nothing but the new owner to show for it
  setAttributes(path, { [MARK]: undefined })
  await takeBack([one])
  t.equal(ownerOf(path), '1234:1234 600')
  t.same(attributesOf(path), {})
})

t.test('where there are no such attributes, it is known by whoever gave it', { skip }, async t => {
  const mount = join(dir, 'ramfs')
  mkdirSync(mount)
  execFileSync('mount', ['-t', 'ramfs', 'none', mount])
  t.teardown(() => execFileSync('umount', [mount]))
  chmodSync(mount, 0o711)
  const path = file(1234, 0o600, join(mount, 'image'))
  const one = given(path, A)
  t.same((await give([one])).how, ['owner'])
  t.equal(ownerOf(path), `${A}:${A} 600`)
  await takeBack([one])
  t.equal(ownerOf(path), '1234:1234 600')
  const read = given(path, A, READ)
  t.same((await give([read])).how, ['owner'], 'nor any ACL')
  await takeBack([{ ...read, how: 'owner' }])
  t.equal(ownerOf(path), '1234:1234 600')
})
