// Data of a guest whose snapshots are taken, gone back to and deleted, its shim killed at any moment: every byte is what
// the guest wrote or what the snapshot had, and definitions, QEMU, images and snapshots agree.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { parseDomain } from '../../../../src/conf/domain-xml.ts'
import { parseSnapshot, type SnapshotDef } from '../../../../src/conf/moment/snapshot.ts'
import { storageChain } from '../../../../src/conf/storage/chain.ts'
import { storagePath } from '../../../../src/conf/storage/source.ts'
import { readImageFile } from '../../../../src/drivers/qemu/save/image.ts'
import { bareGuest, Shim } from '../../../helper/shim.ts'

t.setTimeout(900_000)

const SIZE = 4 * 1024 * 1024
const DISKS = ['vda', 'vdb'] as const
const RUNNING = 1
const SHUTOFF = 5
const LIMIT_MS = 60_000
const DISK_ONLY = 16
const SECURE = 1
const KILLS_MS = [3, 25, 50, 80, 120, 200, 400]

type Contents = Record<string, Buffer>

const diskXml = (dev: string) => `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
  <source file='@/${dev}.qcow2'/><target dev='${dev}' bus='virtio'/></disk>`

/** A guest with two disks, the bytes they should have and those its snapshots had. */
class Guest {
  readonly shim = new Shim(bareGuest(`t-snapshot-${process.pid}`, DISKS.map(diskXml).join('')))
  contents: Contents = Object.fromEntries(DISKS.map(dev => [dev, Buffer.alloc(SIZE)]))
  readonly saved = new Map<string, Contents>()
  #seed = 1

  constructor() {
    const { shim } = this
    writeFileSync(shim.xmlFile, shim.xml.replaceAll('@', shim.dir))
    for (const dev of DISKS)
      execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', this.path(`${dev}.qcow2`), `${SIZE}`])
  }

  path(name: string): string {
    return join(this.shim.dir, name)
  }

  async serve(...options: string[]): Promise<void> {
    // the definition is the one that is kept, once there is one
    if (options.includes('--define')) void this.shim.start('--linger', ...options)
    else void this.shim.run('bin/virshimd', ['--root', this.shim.root, '--linger', ...options])
    for (const limit = Date.now() + LIMIT_MS; ; ) {
      if ((await this.state().catch(() => 0)) !== 0) return
      if (Date.now() > limit) throw new Error(`the shim does not come: ${this.shim.errors}`)
      await sleep(20)
    }
  }

  async state(): Promise<number> {
    return (await this.call('virDomainGetState')).state
  }

  /** The shim dies, and another takes over what it has left. */
  async kill(): Promise<void> {
    const { child } = this.shim
    const gone = new Promise(resolve => child!.once('exit', resolve))
    child!.kill('SIGKILL')
    await gone
    await this.serve('--inactive')
    // what it goes on with by itself
    for (const limit = Date.now() + LIMIT_MS; existsSync(this.journal) && Date.now() < limit; ) await sleep(20)
  }

  get journal(): string {
    return join(this.shim.root, 'snapshots', '.journal')
  }

  // biome-ignore lint/suspicious/noExplicitAny: answers are of any shape
  async call(api: string, args: object = {}): Promise<any> {
    const { status, body } = await this.shim.call(api, args)
    if (status >= 400) throw new Error(`${api}: ${body.message}`)
    return body
  }

  // biome-ignore lint/suspicious/noExplicitAny: QEMU's answers are of any shape
  async qmp(execute: string, args?: object): Promise<any> {
    const cmd = JSON.stringify({ execute, arguments: args })
    return JSON.parse((await this.call('virDomainQemuMonitorCommand', { cmd })).result).return
  }

  /** The guest writes somewhere, never the same. */
  async write(): Promise<void> {
    for (const [i, dev] of DISKS.entries()) {
      const seed = this.#seed++
      const pattern = (seed * 7) % 251 || 1
      const at = ((seed * 2654435761) % (SIZE / 65536)) * 65536
      const length = Math.min(4096 * (1 + (seed % 31)), SIZE - at)
      await this.#io(i, `write -q -P ${pattern} ${at} ${length}`)
      this.contents[dev] = Buffer.from(this.contents[dev]!)
      this.contents[dev]!.fill(pattern, at, at + length)
    }
  }

  async #io(disk: number, command: string): Promise<void> {
    const line = `qemu-io -d /machine/peripheral/virtio-disk${disk}/virtio-backend "${command}"`
    const said = await this.qmp('human-monitor-command', { 'command-line': line })
    if (said.trim() !== '') throw new Error(`qemu-io: ${said}`)
  }

  remember(name: string): void {
    this.saved.set(name, { ...this.contents })
  }

  async create(name: string, inner = '', flags = 0): Promise<void> {
    await this.call('virDomainSnapshotCreateXML', {
      xmlDesc: `<domainsnapshot><name>${name}</name>${inner}</domainsnapshot>`,
      flags
    })
  }

  async names(): Promise<string[]> {
    return (await this.call('virDomainSnapshotListNames')).names
  }

  async snapshot(name: string): Promise<SnapshotDef> {
    const { xml } = await this.call('virDomainSnapshotGetXMLDesc', { snap: { name }, flags: SECURE })
    return parseSnapshot(xml, { redefine: true })
  }

  /** Definitions, QEMU, images and snapshots are as one; the disks have these bytes. @returns which of the contents */
  async check(t: Test, ...allowed: Contents[]): Promise<Contents> {
    t.notOk(existsSync(this.journal), 'nothing is under way')
    const runs = (await this.state()) !== SHUTOFF
    const live = parseDomain((await this.call('virDomainGetXMLDesc')).xml, { inactive: false })
    const kept = parseDomain((await this.call('virDomainGetXMLDesc', { flags: 2 })).xml)
    const tops = live.devices.disks.map(({ source }) => storagePath(source)!)
    t.same(
      kept.devices.disks.map(({ source }) => storagePath(source)),
      tops,
      'the persistent definition says the same'
    )
    if (runs) {
      const drives: { inserted: { file: string } }[] = await this.qmp('query-block')
      t.same(
        drives.filter(({ inserted }) => inserted).map(({ inserted }) => inserted.file),
        tops,
        'QEMU has the same images'
      )
      for (const { source } of live.devices.disks) {
        const chain = storageChain(source).map(storagePath)
        const info = JSON.parse(
          execFileSync('qemu-img', ['info', '-U', '--backing-chain', '--output=json', chain[0]!], { encoding: 'utf8' })
        ) as { filename: string }[]
        t.same(
          info.map(({ filename }) => filename),
          chain,
          'the images say what the definition says'
        )
      }
      for (const i of DISKS.keys()) await this.#io(i, 'flush')
    }
    const found: Contents = Object.fromEntries(DISKS.map((dev, i) => [dev, this.read(tops[i]!)]))
    const match = allowed.find(one => DISKS.every(dev => one[dev]!.equals(found[dev]!)))
    t.ok(match, 'every byte is as it should be')
    for (const name of await this.names()) {
      const { dom, memoryFile } = await this.snapshot(name)
      if (memoryFile !== undefined)
        t.match(readImageFile(memoryFile), { format: 'raw' }, `the memory of ${name} is whole`)
      for (const disk of dom!.devices.disks) {
        const path = storagePath(disk.source)!
        t.ok(existsSync(path), `the image of ${name} is there`)
      }
    }
    for (const file of readdirSync(this.shim.dir).filter(name => name.includes('qcow2') || /^vd[ab]\./.test(name))) {
      const said = execFileSync('qemu-img', ['check', '-U', '--output=json', this.path(file)], { encoding: 'utf8' })
      const { corruptions = 0 } = JSON.parse(said)
      t.equal(corruptions, 0, `${file} is whole`)
    }
    return match ?? found
  }

  read(path: string): Buffer {
    const raw = this.path('read.raw')
    execFileSync('qemu-img', ['convert', '-U', '-O', 'raw', path, raw])
    const content = readFileSync(raw)
    rmSync(raw)
    return content
  }

  async end(): Promise<void> {
    await this.call('virDomainDestroy').catch(() => undefined)
    await this.shim.end()
  }
}

const external = (guest: Guest, name: string, memory = false) =>
  `${memory ? `<memory snapshot='external' file='${guest.path(`${name}.mem`)}'/>` : ''}<disks>${DISKS.map(
    dev => `<disk name='${dev}' snapshot='external'><source file='${guest.path(`${dev}.${name}`)}'/></disk>`
  ).join('')}</disks>`

t.test('taken, gone back to and deleted, of a guest that runs and one that is off', async t => {
  const guest = new Guest()
  t.teardown(() => guest.end())
  await guest.serve('--define')
  for (const limit = Date.now() + LIMIT_MS; (await guest.state()) !== RUNNING && Date.now() < limit; ) await sleep(20)
  await guest.write()
  guest.remember('internal')
  await guest.create('internal')
  await guest.write()
  guest.remember('disks')
  await guest.create('disks', external(guest, 'disks'), DISK_ONLY)
  await guest.write()
  guest.remember('memory')
  await guest.create('memory', external(guest, 'memory', true))
  await guest.write()
  guest.remember('top')
  await guest.create('top', external(guest, 'top'), DISK_ONLY)
  await guest.write()
  await guest.check(t, guest.contents)
  await guest.call('virDomainSnapshotDelete', { snap: { name: 'memory' } })
  t.notOk(existsSync(guest.path('memory.mem')), 'the memory goes with its snapshot')
  await guest.check(t, guest.contents)
  await guest.write()
  await guest.create('memory2', external(guest, 'memory2', true))
  guest.remember('memory2')
  await guest.write()
  for (const name of ['memory2', 'disks', 'memory2', 'top'] as const) {
    await guest.call('virDomainRevertToSnapshot', { snap: { name }, flags: 1 })
    guest.contents = { ...guest.saved.get(name)! }
    await guest.check(t, guest.contents)
    await guest.write()
    await guest.check(t, guest.contents)
  }
  await guest.call('virDomainRevertToSnapshot', { snap: { name: 'internal' } })
  guest.contents = { ...guest.saved.get('internal')! }
  await guest.check(t, guest.contents)
  await guest.write()
  await guest.call('virDomainDestroy')
  await guest.check(t, guest.contents)
  await guest.create('off')
  guest.remember('off')
  await guest.create('off2', external(guest, 'off2'), DISK_ONLY)
  await guest.call('virDomainCreate')
  await guest.write()
  await guest.check(t, guest.contents)
  await guest.call('virDomainRevertToSnapshot', { snap: { name: 'off2' } })
  await guest.check(t, guest.saved.get('off')!)
  await guest.call('virDomainRevertToSnapshot', { snap: { name: 'off' } })
  await guest.check(t, guest.saved.get('off')!)
})

t.test('an overlay with an internal snapshot inside is not merged', async t => {
  const guest = new Guest()
  t.teardown(() => guest.end())
  await guest.serve('--define')
  for (const limit = Date.now() + LIMIT_MS; (await guest.state()) !== RUNNING && Date.now() < limit; ) await sleep(20)
  await guest.create('below', external(guest, 'below'), DISK_ONLY)
  await guest.write()
  guest.remember('inside')
  await guest.create('inside')
  await guest.write()
  for (const isOff of [false, true]) {
    if (isOff) await guest.call('virDomainDestroy')
    await t.rejects(guest.call('virDomainSnapshotDelete', { snap: { name: 'below' } }), /has an internal snapshot/)
    await guest.check(t, guest.contents)
  }
  await guest.call('virDomainRevertToSnapshot', { snap: { name: 'inside' } })
  await guest.check(t, guest.saved.get('inside')!)
  await guest.call('virDomainSnapshotDelete', { snap: { name: 'inside' } })
  await guest.call('virDomainSnapshotDelete', { snap: { name: 'below' } })
  await guest.check(t, guest.saved.get('inside')!)
})

/** Kills the shim while it does that, and checks what the next one makes of it. */
async function killed(t: Test, guest: Guest, work: () => Promise<void>, allowed: () => Contents[]): Promise<void> {
  for (const ms of KILLS_MS) {
    await t.test(`after ${ms} ms`, async t => {
      const done = work().then(
        () => true,
        () => false
      )
      await sleep(ms)
      await guest.kill()
      await done
      // a copy: what the guest writes next is not in what was remembered
      guest.contents = { ...(await guest.check(t, ...allowed())) }
      if ((await guest.state()) === SHUTOFF) await guest.call('virDomainCreate')
      await guest.call('virDomainResume').catch(() => undefined)
      await guest.write()
    })
  }
}

t.test('a shim that is killed on the way', async t => {
  const guest = new Guest()
  t.teardown(() => guest.end())
  await guest.serve('--define')
  for (const limit = Date.now() + LIMIT_MS; (await guest.state()) !== RUNNING && Date.now() < limit; ) await sleep(20)
  await guest.write()
  let number = 0
  const same = () => [guest.contents]
  await t.test('to an internal snapshot', t => killed(t, guest, () => guest.create(`i${++number}`), same))
  await t.test('to one of disks', t =>
    killed(t, guest, () => guest.create(`d${++number}`, external(guest, `d${number}`), DISK_ONLY), same)
  )
  await t.test('to one with memory', t =>
    killed(t, guest, () => guest.create(`m${++number}`, external(guest, `m${number}`, true)), same)
  )
  await t.test('to the end of one', async t => {
    await killed(
      t,
      guest,
      async () => {
        const { snap } = await guest.call('virDomainSnapshotCurrent')
        await guest.call('virDomainSnapshotDelete', { snap: { name: snap.name } })
      },
      same
    )
  })
  await guest.create('back', external(guest, 'back', true))
  guest.remember('back')
  await guest.write()
  await t.test('back to one with memory', t =>
    killed(
      t,
      guest,
      () => guest.call('virDomainRevertToSnapshot', { snap: { name: 'back' }, flags: 1 }),
      () => [guest.contents, guest.saved.get('back')!]
    )
  )
})
