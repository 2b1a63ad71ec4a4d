// What a guest's storage is, asked of all who know: the images by qemu-img, the definitions and the status file, the files
// of snapshots and checkpoints, and QEMU. It is held against the model.
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Shim } from './shim.ts'
import { ANY, type Chains, CLUSTER, CLUSTERS, DISKS, type Model, type Snapshot } from './storage-model.ts'

const run = promisify(execFile)

const DISK = /<disk type='file' device='disk'.*?<\/disk>/gs

/** Files of each disk's chain as a definition has them, from the top. */
export function chainsIn(xml: string): string[][] {
  return (xml.match(DISK) ?? []).map(text => [...text.matchAll(/<source file='([^']+)'/g)].map(([, file]) => file!))
}

/** Numbers of the images of a definition's disks, by which QEMU's nodes are called. */
const numbersIn = (xml: string): string[] =>
  (xml.match(DISK) ?? []).flatMap(text => [...text.matchAll(/ index='(\d+)'/g)].map(([, index]) => index!))

const textIn = (xml: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1]

/** Time a file must have been left alone to be known by its times: those are no finer than the kernel's clock. */
const SETTLED_MS = 100

/** What is known of files, as long as they stay as they are. */
class Memo<T> {
  readonly #known = new Map<string, { seal: string; value: T }>()

  async of(key: string, files: readonly string[], find: () => Promise<T>): Promise<T> {
    const seal = sealOf(files)
    const known = this.#known.get(key)
    if (known && known.seal === seal) return known.value
    const value = await find()
    if (seal !== undefined) this.#known.set(key, { seal, value })
    return value
  }
}

function sealOf(files: readonly string[]): string | undefined {
  const found = files.map(file => statSync(file, { bigint: true, throwIfNoEntry: false }))
  if (found.some(one => !one || Number(one.mtimeMs) > Date.now() - SETTLED_MS)) return undefined
  return found.map(one => `${one!.ino} ${one!.size} ${one!.mtimeNs} ${one!.ctimeNs}`).join()
}

interface QemuNode {
  'node-name': string
  drv: string
  file: string
  ro: boolean
  'dirty-bitmaps'?: { name?: string; recording: boolean; persistent: boolean; busy: boolean; inconsistent?: boolean }[]
}

interface QemuImage {
  filename: string
  'backing-image'?: QemuImage
}

interface QemuBlock {
  qdev?: string
  inserted?: { image: QemuImage; ro: boolean }
}

/** The shim's calls, and QEMU's monitor behind it. */
export interface Ask {
  shim: Shim
  monitor(execute: string, args?: object): Promise<unknown>
}

/** Compares, and counts what it has compared. */
export class StorageView {
  /** read from images and held against the model */
  comparedBytes = 0
  /** of the last comparison */
  wrongBytes = 0
  /** a QEMU was killed: clusters may be taken that no table knows of */
  mayLeak = false
  readonly #ask: Ask
  readonly #scratch: string
  readonly #contents = new Memo<Buffer>()
  readonly #headers = new Memo<string[]>()
  readonly #checks = new Memo<string | undefined>()
  #files = 0

  /** @param scratch a directory for images that are converted */
  constructor(ask: Ask, scratch: string) {
    this.#ask = ask
    this.#scratch = scratch
  }

  /** The bytes of an image of qcow2, or of a snapshot in it. @param chain the files they come from, from the top */
  bytesOf(chain: readonly string[], snapshot?: string): Promise<Buffer> {
    return this.#contents.of(`${chain} ${snapshot ?? ''}`, chain, async () => {
      const out = join(this.#scratch, `${++this.#files}.raw`)
      const inside = snapshot === undefined ? [] : ['-l', `snapshot.name=${snapshot}`]
      await run('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'raw', ...inside, chain[0]!, out])
      const bytes = await readFile(out)
      rmSync(out)
      this.comparedBytes += bytes.length
      return bytes
    })
  }

  /** Compares a disk byte by byte. @returns what is wrong */
  async compare(
    what: string,
    should: readonly number[],
    chain: readonly string[],
    snapshot?: string
  ): Promise<string[]> {
    const bytes = await this.bytesOf(chain, snapshot).catch((error: Error) => error)
    if (bytes instanceof Error) return [`${what} cannot be read: ${bytes.message}`]
    const wanted = Buffer.concat(should.map(pattern => Buffer.alloc(CLUSTER, pattern)))
    if (bytes.equals(wanted)) return []
    this.wrongBytes += bytes.reduce((sum, byte, at) => sum + Number(byte !== wanted[at]), 0)
    const has = Array.from({ length: CLUSTERS }, (_, n) => bytes[n * CLUSTER])
    return [`${what} has ${has}, not ${should}`]
  }

  /** Files of a chain as the images' headers name them. */
  #headersOf(chain: readonly string[]): Promise<string[]> {
    return this.#headers.of(chain.join(), chain, async () => {
      const { stdout } = await run('qemu-img', ['info', '-U', '--backing-chain', '--output=json', chain[0]!])
      return JSON.parse(stdout).map(({ filename }: { filename: string }) => filename)
    })
  }

  /** @param isOpen QEMU has it, and may have taken clusters that no table knows of yet */
  #damageOf(file: string, isOpen: boolean): Promise<string | undefined> {
    const mayLeak = isOpen || this.mayLeak
    return this.#checks.of(`${file} ${mayLeak}`, [file], async () => {
      try {
        await run('qemu-img', ['check', '-U', '-f', 'qcow2', file])
        return undefined
      } catch (error) {
        const { code, stdout } = error as { code: number; stdout: string }
        return mayLeak && code === 3 ? undefined : `${file} is damaged: ${stdout}`
      }
    })
  }

  /** Damage in images that nobody has open. */
  async damageIn(files: readonly string[]): Promise<string[]> {
    return (await Promise.all(files.map(file => this.#damageOf(file, false)))).flatMap(one => one ?? [])
  }

  /** The model with the names that the daemon has chosen. */
  async named(model: Model): Promise<Model> {
    const live = chainsIn((await this.#ask.shim.call('virDomainGetXMLDesc?flags=0')).body.xml)
    return {
      ...model,
      chains: model.chains.map((chain, i) => (chain[0] === ANY ? [live[i]?.[0] ?? ANY, ...chain.slice(1)] : chain))
    }
  }

  /** What of a running guest is not as the model has it. */
  async differences(model: Model): Promise<string[]> {
    this.wrongBytes = 0
    const xml: string = (await this.#ask.shim.call('virDomainGetXMLDesc?flags=0')).body.xml
    const live = chainsIn(xml)
    const wrong = sameChains('the live definition', live, model.chains)
    // names first: what is to be compared depends on them
    wrong.push(...(await this.#snapshots(model)), ...(await this.#checkpoints(model)))
    if (wrong.length > 0) return wrong
    wrong.push(...(await this.#persistent(live)), ...this.#status(live), ...(await this.#qemu(xml, live, model)))
    const images = live.map(async (chain, i) => [
      ...sameList(`headers of ${DISKS[i]}`, await this.#headersOf(chain), chain),
      ...(await this.compare(DISKS[i]!, model.contents[i]!, chain))
    ])
    const open = new Set(live.flat())
    const kept = new Set([...model.snapshots.values()].flatMap(({ chains }) => chains.flat()))
    const checks = [...new Set([...open, ...kept])].map(file => this.#damageOf(file, open.has(file)))
    wrong.push(...(await Promise.all(images)).flat(), ...(await Promise.all(checks)).flatMap(one => one ?? []))
    return wrong
  }

  /** The persistent definition names the same images, as far as it names any, and is the one on disk. */
  async #persistent(live: Chains): Promise<string[]> {
    const { shim } = this.#ask
    const told: string = (await shim.call('virDomainGetXMLDesc?flags=3')).body.xml
    const kept = readFileSync(join(shim.root, 'domain.xml'), 'utf8')
    const wrong = kept === told ? [] : [`the persistent definition is not the one on disk: ${told} ${kept}`]
    for (const [i, chain] of chainsIn(kept).entries()) {
      wrong.push(...sameList(`persistent ${DISKS[i]}`, chain, live[i]!.slice(0, Math.max(1, chain.length))))
    }
    return wrong
  }

  /** The status file says what the live definition does, and that nothing is under way. */
  #status(live: Chains): string[] {
    const status = JSON.parse(readFileSync(join(this.#ask.shim.root, 'status.json'), 'utf8'))
    const { process: qemu } = status
    const under = ['job', 'memoryFile', 'goesOnFrom', 'blockJobs', 'looseImages', 'checkpoint', 'backup', 'media']
    const journal = join(this.#ask.shim.root, 'snapshots/.journal')
    return [
      ...sameChains('the status file', chainsIn(status.xml), live),
      ...under.flatMap(name => (status[name] ? [`the status file has ${name}: ${JSON.stringify(status[name])}`] : [])),
      ...(existsSync(journal) ? [`a journal is left: ${readFileSync(journal, 'utf8')}`] : []),
      ...(qemu && existsSync(`/proc/${qemu.pid}`) ? [] : [`the status file has no process: ${JSON.stringify(qemu)}`])
    ]
  }

  /** QEMU has the images that the definition has, in its order, and no other; neither a job nor a bitmap is left over. */
  async #qemu(xml: string, live: Chains, { checkpoints }: Model): Promise<string[]> {
    const { monitor } = this.#ask
    const [nodes, blocks, jobs, blockJobs] = (await Promise.all([
      monitor('query-named-block-nodes', { flat: true }),
      monitor('query-block'),
      monitor('query-jobs'),
      monitor('query-block-jobs')
    ])) as [QemuNode[], QemuBlock[], object[], object[]]
    const names = nodes.map(node => node['node-name'])
    const wanted = numbersIn(xml).flatMap(index => [`libvirt-${index}-storage`, `libvirt-${index}-format`])
    const wrong = sameList("QEMU's nodes", names.toSorted(), wanted.toSorted())
    for (const job of [...jobs, ...blockJobs]) wrong.push(`QEMU has a job: ${JSON.stringify(job)}`)
    const tops = new Map(nodes.filter(({ drv }) => drv === 'qcow2').map(node => [node.file, node]))
    for (const [i, chain] of live.entries()) {
      const { inserted } = blocks.find(({ qdev }) => qdev?.includes(`/virtio-disk${i}/`)) ?? {}
      const has: string[] = []
      for (let image = inserted?.image; image; image = image['backing-image']) has.push(image.filename)
      wrong.push(...sameList(`${DISKS[i]} in QEMU`, has, chain))
      for (const [depth, file] of chain.entries()) {
        const node = tops.get(file)
        if (node && node.ro !== depth > 0) wrong.push(`${file} is ${node.ro ? 'only read' : 'written'} in QEMU`)
      }
      const bitmaps = tops.get(chain[0]!)?.['dirty-bitmaps'] ?? []
      for (const [name, { isWhole }] of checkpoints) {
        const bitmap = bitmaps.find(one => one.name === name)
        const isGood = bitmap?.persistent && bitmap.recording && !bitmap.inconsistent && !bitmap.busy
        if (isWhole && !isGood) wrong.push(`${DISKS[i]} does not record since ${name}: ${JSON.stringify(bitmaps)}`)
      }
    }
    for (const { file, 'dirty-bitmaps': bitmaps = [] } of nodes) {
      for (const { name = '' } of bitmaps) if (!/^c\d+$/.test(name)) wrong.push(`${file} has a bitmap '${name}'`)
    }
    return wrong
  }

  /** Lists, files and images of snapshots. */
  async #snapshots({ snapshots, current }: Model): Promise<string[]> {
    const { shim } = this.#ask
    const listed: string[] = (await shim.call('virDomainSnapshotListNames?flags=0')).body.names
    const files = this.#filesIn('snapshots')
    const names = [...snapshots.keys()].toSorted()
    const wrong = [
      ...sameList('snapshots', listed.toSorted(), names),
      ...sameList('files of snapshots', [...files.keys()].toSorted(), names)
    ]
    if (wrong.length > 0) return wrong
    for (const [name, one] of snapshots) {
      const text = files.get(name)!
      const told: string = (await shim.call('virDomainSnapshotGetXMLDesc', { snap: { name }, flags: 1 })).body.xml
      if (text.replace(/\s*<active>\d<\/active>/, '') !== told)
        wrong.push(`${name} is told as ${told}, kept as ${text}`)
      wrong.push(...snapshotFile(text, name, one, name === current))
    }
    if (wrong.length > 0) return wrong
    const images = [...snapshots].flatMap(([name, { kind, contents, chains, parts }]) =>
      parts.map(async i => [
        ...sameList(`headers of ${DISKS[i]} in ${name}`, await this.#headersOf(chains[i]!), chains[i]!),
        ...(await this.compare(
          `${DISKS[i]} in ${name}`,
          contents[i]!,
          chains[i]!,
          kind === 'internal' ? name : undefined
        ))
      ])
    )
    return (await Promise.all(images)).flat()
  }

  async #checkpoints({ checkpoints }: Model): Promise<string[]> {
    const there = (await this.#ask.shim.call('virDomainListAllCheckpoints?flags=0')).body.checkpoints
    const listed: string[] = there.map(({ name }: { name: string }) => name)
    const files = this.#filesIn('checkpoints')
    const names = [...checkpoints.keys()].toSorted()
    const wrong = [
      ...sameList('checkpoints', listed.toSorted(), names),
      ...sameList('files of checkpoints', [...files.keys()].toSorted(), names)
    ]
    for (const [name, { parent }] of wrong.length > 0 ? [] : checkpoints) {
      const text = files.get(name)!
      if (parentIn(text) !== parent) wrong.push(`${name} is after ${parentIn(text)}, not ${parent}`)
      const marks = [...text.matchAll(/<disk name='(\w+)' checkpoint='bitmap' bitmap='(\w+)'/g)]
      wrong.push(
        ...sameList(
          `disks of ${name}`,
          marks.map(([, disk, bitmap]) => `${disk} ${bitmap}`),
          DISKS.map(disk => `${disk} ${name}`)
        )
      )
    }
    return wrong
  }

  #filesIn(directory: string): Map<string, string> {
    const path = join(this.#ask.shim.root, directory)
    const names = existsSync(path) ? readdirSync(path) : []
    return new Map(
      names
        // one being written by a shim that was killed
        .filter(name => !/^\..*\.new$/.test(name) && name !== '.journal')
        .map(name => [name.replace(/\.xml$/, ''), readFileSync(join(path, name), 'utf8')])
    )
  }
}

const parentIn = (text: string): string | undefined => textIn(/<parent>.*?<\/parent>/s.exec(text)?.[0] ?? '', 'name')

/** libvirt's own file of a snapshot. */
function snapshotFile(text: string, name: string, { parent, state, kind, chains, parts }: Snapshot, current: boolean) {
  const inside = /<domain .*?<\/domain>/s.exec(text)?.[0] ?? ''
  const has = { parent: parentIn(text), state: textIn(text, 'state'), active: textIn(text, 'active') }
  const should = { parent, state, active: current ? '1' : '0' }
  const disks = /<disks>.*?<\/disks>/s.exec(text)?.[0] ?? ''
  const ways = [...disks.matchAll(/<disk name='(\w+)' snapshot='(\w+)'/g)].map(([, disk, way]) => `${disk} ${way}`)
  const wrong = [
    ...sameList(name, Object.values(has), Object.values(should)),
    ...sameList(
      `disks of ${name}`,
      ways,
      DISKS.map((disk, i) => `${disk} ${parts.includes(i) ? kind : 'no'}`)
    )
  ]
  const kept = chainsIn(inside)
  // images below the first may be found by their headers
  for (const i of parts)
    wrong.push(
      ...sameList(`${DISKS[i]} in ${name}`, kept[i] ?? [], chains[i]!.slice(0, Math.max(1, kept[i]?.length ?? 0)))
    )
  return wrong
}

function sameList(what: string, has: readonly unknown[], should: readonly unknown[]): string[] {
  return has.join() === should.join() ? [] : [`${what}: ${has.join() || 'none'}, not ${should.join() || 'none'}`]
}

const sameChains = (what: string, has: Chains, should: Chains): string[] =>
  should.flatMap((chain, i) => sameList(`${DISKS[i]} in ${what}`, has[i] ?? [], chain))
