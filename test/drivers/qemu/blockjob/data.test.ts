// Data of a guest whose disks are worked on while it writes to them, its shim killed at any moment: afterwards every byte
// is what was written, and the definitions, QEMU and the files agree.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { parseDomain } from '../../../../src/conf/domain-xml.ts'
import { storageChain, storageImages } from '../../../../src/conf/storage/chain.ts'
import type { StorageSource } from '../../../../src/conf/storage/source.ts'
import { bareGuest, Shim } from '../../../helper/shim.ts'

t.setTimeout(600_000)

const MIB = 1024 * 1024
const SIZE = 8 * MIB
const RUNNING = 1
const SHUTOFF = 5
const LIMIT_MS = 60_000
const TRANSIENT_JOB = 4
const [REUSE, SHALLOW, ACTIVE, PIVOT, ASYNC, DELETE] = [2, 1, 4, 2, 1, 2]

const diskXml = (dev: string, file: string) => `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
  <source file='${file}'/><target dev='${dev}' bus='virtio'/></disk>`

/** A guest with chains of images under its disks, and the bytes it should have. */
class Written {
  readonly shim: Shim
  readonly contents = new Map<string, Buffer>()
  #seed = 1

  constructor(chains: Record<string, string[]>) {
    const disks = Object.keys(chains).map(dev => diskXml(dev, `@/${dev}`))
    this.shim = new Shim(bareGuest(`t-blockjob-${process.pid}`, disks.join('')))
    writeFileSync(this.shim.xmlFile, this.shim.xml.replaceAll('@', this.shim.dir))
    const { dir } = this.shim
    for (const [dev, images] of Object.entries(chains)) {
      const content = Buffer.alloc(SIZE)
      for (const [depth, image] of images.entries()) {
        const below = images[depth - 1]
        const on = below === undefined ? [] : ['-F', 'qcow2', '-b', join(dir, below)]
        execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...on, join(dir, image), `${SIZE}`])
        const at = depth * MIB
        execFileSync('qemu-io', ['-f', 'qcow2', '-c', `write -q -P ${depth + 1} ${at} ${2 * MIB}`, join(dir, image)])
        content.fill(depth + 1, at, at + 2 * MIB)
      }
      this.contents.set(dev, content)
    }
  }

  path(name: string): string {
    return join(this.shim.dir, name)
  }

  async start(): Promise<void> {
    const { shim } = this
    void shim.start('--define')
    await shim.untilState(RUNNING)
  }

  /** The shim dies and another takes the guest over. */
  async kill(): Promise<void> {
    const { shim } = this
    const gone = new Promise(resolve => shim.child!.once('exit', resolve))
    shim.child!.kill('SIGKILL')
    await gone
    void shim.start()
    await shim.untilState(RUNNING)
  }

  async call(api: string, args: object = {}): Promise<Record<string, never>> {
    const { status, body } = await this.shim.call(api, args)
    if (status >= 400) throw new Error(`${api}: ${body.message}`)
    return body
  }

  // biome-ignore lint/suspicious/noExplicitAny: QEMU's answers are of any shape
  async qmp(execute: string, args?: object): Promise<any> {
    const cmd = JSON.stringify({ execute, arguments: args })
    const { result } = await this.call('virDomainQemuMonitorCommand', { cmd })
    return JSON.parse(result!).return
  }

  /** The guest writes a few bytes somewhere, never the same ones. */
  async write(dev: string): Promise<void> {
    const seed = this.#seed++
    const pattern = (seed * 7) % 251 || 1
    const at = ((seed * 2654435761) % (SIZE / 4096)) * 4096
    const length = Math.min(4096 * (1 + (seed % 5)), SIZE - at)
    await this.#io(dev, `write -q -P ${pattern} ${at} ${length}`)
    this.contents.get(dev)!.fill(pattern, at, at + length)
  }

  async #io(dev: string, command: string): Promise<void> {
    const index = [...this.contents.keys()].indexOf(dev)
    const device = `/machine/peripheral/virtio-disk${index}/virtio-backend`
    const line = `qemu-io -d ${device} "${command}"`
    const said = await this.qmp('human-monitor-command', { 'command-line': line })
    if (said.trim() !== '') throw new Error(`qemu-io: ${said}`)
  }

  async source(dev: string, flags = 0): Promise<StorageSource> {
    const { xml } = await this.call('virDomainGetXMLDesc', { flags })
    return parseDomain(xml!, { inactive: false }).devices.disks.find(({ target }) => target?.dev === dev)!.source
  }

  /** Writes until the disk's job is over, or in that state of its mirror. */
  async writeUntil(dev: string, isThere: (info: Record<string, number>) => boolean): Promise<void> {
    for (const limit = Date.now() + LIMIT_MS; ; ) {
      await this.write(dev)
      if (isThere(await this.call('virDomainGetBlockJobInfo', { disk: dev }))) return
      if (Date.now() > limit) throw new Error(`the job of ${dev} does not end`)
    }
  }

  over = (dev: string) => this.writeUntil(dev, ({ found }) => found === 0)
  ready = (dev: string) => this.writeUntil(dev, ({ cur, end }) => cur === end)

  /** QEMU, the definition and the files are as one. */
  async check(t: Test, dev: string, isJobOver = true): Promise<void> {
    const { xml } = await this.call('virDomainGetXMLDesc')
    const { disks } = parseDomain(xml!, { inactive: false }).devices
    const shown = disks.flatMap(({ source, mirror }) => [
      ...storageImages(source),
      ...(mirror ? storageImages(mirror.source) : [])
    ])
    const known = new Set(shown.flatMap(({ index }) => [`libvirt-${index}-format`, `libvirt-${index}-storage`]))
    const nodes: { 'node-name': string }[] = await this.qmp('query-named-block-nodes', { flat: true })
    const unknown = nodes.map(node => node['node-name']).filter(name => name.startsWith('libvirt') && !known.has(name))
    t.same(unknown, [], 'QEMU has no images that the definition has not')
    const drives: { qdev: string; inserted: { 'node-name': string } }[] = await this.qmp('query-block')
    const index = [...this.contents.keys()].indexOf(dev)
    const drive = drives.find(({ qdev }) => qdev?.includes(`virtio-disk${index}`))
    const source = disks.find(({ target }) => target?.dev === dev)!.source
    t.equal(drive?.inserted['node-name'], `libvirt-${source.index}-format`, 'the guest is on the image of the XML')
    if (isJobOver) t.same(await this.qmp('query-jobs'), [], 'no job is left in QEMU')
    const status = JSON.parse(readFileSync(join(this.shim.root, 'status.json'), 'utf8'))
    t.notOk(isJobOver && (status.blockJobs ?? status.looseImages), 'nor in the status')
    await this.compare(t, dev, source)
  }

  /** The bytes in the files, once QEMU has written all to them. */
  async compare(t: Test, dev: string, source: StorageSource): Promise<void> {
    await this.#io(dev, 'flush')
    const path = (source as { path: string }).path
    const raw = this.path('compared.raw')
    execFileSync('qemu-img', ['convert', '-U', '-f', source.format!, '-O', 'raw', path, raw])
    t.ok(readFileSync(raw).equals(this.contents.get(dev)!), `${dev} has every byte`)
  }

  /** All dirty bitmaps QEMU has. */
  async bitmaps(): Promise<{ name: string; count: number }[]> {
    const nodes: { 'dirty-bitmaps'?: [] }[] = await this.qmp('query-named-block-nodes', { flat: true })
    return nodes.flatMap(node => node['dirty-bitmaps'] ?? [])
  }

  /** The guest's images are sound once it is gone. */
  async checkFiles(t: Test): Promise<void> {
    const sources = await Promise.all([...this.contents.keys()].map(dev => this.source(dev)))
    await this.call('virDomainDestroy')
    for (const source of sources) {
      const { path } = source as { path: string }
      const { status, stdout } = spawnSync('qemu-img', ['check', '-f', source.format!, path], { encoding: 'utf8' })
      // of raw images there is nothing to be checked
      t.equal(status, source.format === 'raw' ? 63 : 0, `${path}: ${stdout}`)
    }
  }

  async end(): Promise<void> {
    await this.shim.end()
  }
}

const chain = (...names: string[]) => names

t.test('a pull, a commit and a copy while the guest writes', async t => {
  const guest = new Written({
    vda: chain('a0', 'a1', 'vda'),
    vdb: chain('b0', 'b1', 'b2', 'vdb'),
    vdc: chain('c0', 'vdc')
  })
  t.teardown(() => guest.end())
  await guest.start()

  await guest.call('virDomainBlockPull', { disk: 'vda', bandwidth: 8, flags: 0 })
  await guest.over('vda')
  t.equal(storageChain(await guest.source('vda')).length, 1)
  await guest.check(t, 'vda')

  await guest.call('virDomainBlockCommit', {
    disk: 'vdb',
    base: guest.path('b0'),
    top: guest.path('b1'),
    flags: DELETE
  })
  await guest.over('vdb')
  t.equal(storageChain(await guest.source('vdb')).length, 3)
  t.notOk(existsSync(guest.path('b1')), 'the image that was committed is deleted')
  await guest.check(t, 'vdb')

  const { index } = await guest.source('vdb')
  await guest.qmp('block-dirty-bitmap-add', { node: `libvirt-${index}-format`, name: 'checkpoint', persistent: true })
  await guest.call('virDomainBlockCommit', { disk: 'vdb', flags: ACTIVE })
  await guest.ready('vdb')
  await guest.call('virDomainBlockJobAbort', { disk: 'vdb', flags: PIVOT })
  await guest.write('vdb')
  t.match(await guest.source('vdb'), { path: guest.path('b0') })
  t.match(await guest.source('vdb', 2), { path: guest.path('b0') }, 'the persistent definition as well')
  const bitmaps = await guest.bitmaps()
  t.match(bitmaps, [{ name: 'checkpoint', recording: true, persistent: true }], 'what has changed is still known')
  t.ok(bitmaps[0]!.count > 0)
  await guest.check(t, 'vdb')

  const copies: [name: string, format: string, flags: number][] = [
    ['copy.raw', 'raw', 0],
    ['copy.qcow2', 'qcow2', 8]
  ]
  for (const [name, format, flags] of copies) {
    const destxml = `<disk type='file'><driver type='${format}'/><source file='${guest.path(name)}'/></disk>`
    const params = { granularity: 65536 }
    await guest.call('virDomainBlockCopy', { disk: 'vdc', destxml, params, flags: TRANSIENT_JOB | flags })
    await guest.ready('vdc')
    await guest.call('virDomainBlockJobAbort', { disk: 'vdc', flags: PIVOT })
    await guest.write('vdc')
    await guest.write('vdc')
    t.match(await guest.source('vdc'), { path: guest.path(name), format })
    if (format === 'qcow2') await guest.check(t, 'vdc')
    else await guest.compare(t, 'vdc', await guest.source('vdc'))
  }
  await guest.checkFiles(t)
})

t.test('QEMU is asked for its nodes all the time while pulls end', async t => {
  const guest = new Written({ vda: chain('a0', 'vda'), vdb: chain('b0', 'vdb'), vdc: chain('c0', 'vdc') })
  t.teardown(() => guest.end())
  await guest.start()
  for (const dev of ['vda', 'vdb', 'vdc']) {
    let isOver = false
    const asks = async () => {
      while (!isOver) await guest.qmp('query-named-block-nodes', { flat: true })
    }
    const asked = Promise.all([asks(), asks(), asks()])
    await guest.call('virDomainBlockPull', { disk: dev })
    await guest.over(dev)
    isOver = true
    await asked
    await guest.check(t, dev)
  }
  await guest.checkFiles(t)
})

/** Kills after that many ms; each finds the shim at another step. */
const DELAYS = [0, 4, 8, 12, 18, 25]

t.test('a shim that is killed on the way to a pivot', async t => {
  const guest = new Written({ vda: chain('a0', 'vda') })
  t.teardown(() => guest.end())
  await guest.start()
  for (const [round, delay] of DELAYS.entries()) {
    const name = `copy${round}.qcow2`
    const destxml = `<disk type='file'><driver type='qcow2'/><source file='${guest.path(name)}'/></disk>`
    await guest.call('virDomainBlockCopy', { disk: 'vda', destxml, flags: TRANSIENT_JOB })
    await guest.ready('vda')
    const ended = guest.call('virDomainBlockJobAbort', { disk: 'vda', flags: PIVOT }).catch(() => undefined)
    await sleep(delay)
    await guest.kill()
    await ended
    const { found } = await guest.call('virDomainGetBlockJobInfo', { disk: 'vda' })
    if (found) await guest.call('virDomainBlockJobAbort', { disk: 'vda', flags: PIVOT })
    await guest.write('vda')
    t.match(await guest.source('vda'), { path: guest.path(name) }, `${delay} ms: on the copy`)
    t.match(await guest.source('vda', 2), { path: guest.path(name) }, `${delay} ms: the persistent definition, too`)
    await guest.check(t, 'vda')
  }
  await guest.checkFiles(t)
})

t.test('a shim that is killed while it begins a copy', async t => {
  const guest = new Written({ vda: chain('a0', 'vda') })
  t.teardown(() => guest.end())
  await guest.start()
  for (const [round, delay] of [...DELAYS, 40, 70].entries()) {
    const name = guest.path(`copy${round}.qcow2`)
    const destxml = `<disk type='file'><driver type='qcow2'/><source file='${name}'/></disk>`
    const begun = guest
      .call('virDomainBlockCopy', { disk: 'vda', destxml, flags: TRANSIENT_JOB })
      .catch(() => undefined)
    await sleep(delay)
    await guest.kill()
    await begun
    const { found } = await guest.call('virDomainGetBlockJobInfo', { disk: 'vda' })
    t.equal(existsSync(name), found === 1, `${delay} ms: the file is there as long as the job is`)
    await guest.check(t, 'vda', !found)
    if (found) await guest.call('virDomainBlockJobAbort', { disk: 'vda', flags: 0 })
    await guest.write('vda')
    await guest.check(t, 'vda')
  }
  await guest.checkFiles(t)
})

t.test('jobs whose end comes while no shim runs', async t => {
  const guest = new Written({
    vda: chain('a0', 'a1', 'vda'),
    vdb: chain('b0', 'b1', 'vdb'),
    vdc: chain('c0', 'c1', 'vdc')
  })
  t.teardown(() => guest.end())
  await guest.start()
  await guest.call('virDomainBlockPull', { disk: 'vda', bandwidth: 8 })
  await guest.call('virDomainBlockCommit', { disk: 'vdb', top: guest.path('b1'), bandwidth: 8, flags: DELETE })
  await guest.call('virDomainBlockCommit', { disk: 'vdc', flags: ACTIVE })
  await guest.ready('vdc')
  await guest.call('virDomainBlockJobAbort', { disk: 'vdc', flags: PIVOT | ASYNC })
  const { shim } = guest
  const gone = new Promise(resolve => shim.child!.once('exit', resolve))
  shim.child!.kill('SIGKILL')
  await gone
  // longer than QEMU takes at that bandwidth
  await sleep(2000)
  void shim.start()
  await shim.untilState(RUNNING)
  await guest.over('vda')
  await guest.over('vdb')
  t.equal(storageChain(await guest.source('vda')).length, 1)
  t.equal(storageChain(await guest.source('vdb')).length, 2)
  t.notOk(existsSync(guest.path('b1')))
  t.match(await guest.source('vdc'), { path: guest.path('c0') })
  for (const dev of ['vda', 'vdb', 'vdc']) await guest.check(t, dev)
  await guest.checkFiles(t)
})

t.test('a QEMU that is killed at the end of a pull', async t => {
  const guest = new Written({ vda: chain('a0', 'a1', 'vda') })
  t.teardown(() => guest.end())
  const { shim } = guest
  void shim.start('--define', '--linger')
  await shim.untilState(RUNNING)
  await guest.call('virDomainBlockPull', { disk: 'vda' })
  for (const limit = Date.now() + LIMIT_MS; Date.now() < limit; await sleep(5)) {
    if (!(await guest.call('virDomainGetBlockJobInfo', { disk: 'vda' })).found) break
  }
  const { process: qemu } = JSON.parse(readFileSync(join(shim.root, 'status.json'), 'utf8'))
  process.kill(qemu.pid, 'SIGKILL')
  await shim.untilState(SHUTOFF)
  await guest.call('virDomainCreate')
  t.equal(storageChain(await guest.source('vda')).length, 1)
  await guest.check(t, 'vda')
})

t.test('a reused image whose chain is filled until the pivot', async t => {
  const guest = new Written({ vda: chain('a0', 'vda') })
  t.teardown(() => guest.end())
  await guest.start()
  const copy = (name: string) => guest.path(name)
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', copy('a0'), copy('reused'), `${SIZE}`])
  for (const flags of [0, PIVOT]) {
    const destxml = `<disk type='file'><driver type='qcow2'/><source file='${copy('reused')}'/></disk>`
    await guest.call('virDomainBlockCopy', { disk: 'vda', destxml, flags: TRANSIENT_JOB | REUSE | SHALLOW })
    await guest.ready('vda')
    await guest.kill()
    await guest.call('virDomainBlockJobAbort', { disk: 'vda', flags })
    await guest.write('vda')
    await guest.check(t, 'vda')
  }
  t.match(await guest.source('vda'), { path: copy('reused'), backingStore: { path: copy('a0') } })
  await guest.checkFiles(t)
})
