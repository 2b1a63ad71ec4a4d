// The block layer of a stand-in QEMU with its jobs, bitmaps and snapshots: each command has its effect, so that what a call
// has left can be seen. Nothing is written to images.
import { parseJson } from '../../src/conf/json.ts'
import type { Act, Answers, Order } from './stand-in-qemu.ts'

interface Node {
  /** the node of the image below it */
  below?: string | undefined
  /** the node of its own file */
  file?: string | undefined
  path?: string | undefined
  snapshots: { name: string; 'vm-state-size': number }[]
  bitmaps: string[]
}

interface Job {
  id: string
  type: string
  status: string
  error?: string
  /** what its end makes of the nodes */
  end?(): void
}

/** A command of QEMU's that is not carried out. */
class Refusal extends Error {}

// biome-ignore lint/suspicious/noExplicitAny: arguments are of any shape
type Args = any

const IMAGE = { 'virtual-size': 1024 * 1024, 'actual-size': 4096, 'cluster-size': 65536 }
const RAM = { total: 200, remaining: 0, transferred: 80, duplicate: 3, normal: 4, 'normal-bytes': 16384, mbps: 8 }

export class StandInStorage {
  readonly nodes = new Map<string, Node>()
  readonly jobs = new Map<string, Job>()
  /** node that a device of the guest stands on */
  readonly tops = new Map<string, string>()
  readonly devices = new Set<string>()
  readonly exports = new Set<string>()
  hasServer = false
  migration = 'none'
  /** internal snapshots outlive QEMU, by their file */
  readonly #saved = new Map<string, Node['snapshots']>()

  /** QEMU is started with these. */
  boot(argv: readonly string[]): void {
    for (const all of [this.nodes, this.jobs, this.tops, this.devices, this.exports]) all.clear()
    this.hasServer = false
    this.migration = 'none'
    argv.forEach((word, i) => {
      if (!argv[i + 1]?.startsWith('{')) return
      const args = parseJson(argv[i + 1]!) as Args
      if (word === '-blockdev') this.#add(args)
      if (word === '-device') this.devices.add(args.id)
      if (word === '-device' && args.drive !== undefined) this.tops.set(args.id, args.drive)
    })
  }

  /** All of it that a call can change, to be compared. */
  get state(): object {
    const nodes = [...this.nodes].map(([name, { below, bitmaps, snapshots }]) => ({ name, below, bitmaps, snapshots }))
    const { hasServer, migration } = this
    return {
      nodes,
      tops: [...this.tops],
      jobs: [...this.jobs.values()],
      exports: [...this.exports],
      hasServer,
      isMigrating: migration === 'active'
    }
  }

  get answers(): Answers {
    const acts = Object.entries(this.#commands).map(([command, work]): [string, Act] => [
      command,
      order => {
        try {
          order.reply(work(order.args, order) ?? {})
        } catch (error) {
          if (!(error instanceof Refusal)) throw error
          order.refuse(error.message)
        }
      }
    ])
    return Object.fromEntries(acts)
  }

  readonly #commands: Record<string, (args: Args, order: Order) => unknown> = {
    'blockdev-add': args => this.#add(args),
    'blockdev-del': ({ 'node-name': name }) => {
      this.#node(name)
      const holders = [...this.nodes].filter(([, { below, file }]) => below === name || file === name)
      if (holders.length > 0 || [...this.tops.values()].includes(name)) throw new Refusal(`Node ${name} is in use`)
      this.nodes.delete(name)
    },
    'blockdev-reopen': ({ options }) => {
      for (const one of options) this.#node(one['node-name'])
    },
    'blockdev-create': ({ 'job-id': id }, order) => this.#begin(order, { id, type: 'create', status: 'concluded' }),
    'snapshot-save': ({ 'job-id': id, tag, vmstate, devices }, order) => {
      for (const name of devices) {
        this.#node(name).snapshots.push({ name: tag, 'vm-state-size': name === vmstate ? 4096 : 0 })
      }
      this.#begin(order, { id, type: 'snapshot-save', status: 'concluded' })
    },
    'snapshot-load': ({ 'job-id': id, devices }, order) => {
      for (const name of devices) this.#node(name)
      this.#begin(order, { id, type: 'snapshot-load', status: 'concluded' })
    },
    'snapshot-delete': ({ 'job-id': id, tag, devices }, order) => {
      for (const name of devices) {
        const { snapshots } = this.#node(name)
        snapshots.splice(0, Infinity, ...snapshots.filter(one => one.name !== tag))
      }
      this.#begin(order, { id, type: 'snapshot-delete', status: 'concluded' })
    },
    'block-commit': (args, order) => this.#commit(args, order),
    'blockdev-mirror': ({ 'job-id': id, target, replaces }, order) => {
      this.#node(target)
      const device = [...this.tops].find(([, node]) => node === replaces)?.[0]
      if (device === undefined) throw new Refusal(`no device stands on ${replaces}`)
      this.#begin(order, { id, type: 'mirror', status: 'ready', end: () => this.tops.set(device, target) })
    },
    'block-stream': ({ 'job-id': id }, order) => this.#begin(order, { id, type: 'stream', status: 'running' }),
    'block-job-cancel': ({ device }, order) => {
      const job = this.#job(device)
      delete job.end
      this.#enter(order, job, job.status === 'ready' ? 'pending' : 'concluded')
    },
    'job-cancel': ({ id }, order) => {
      const job = this.#job(id)
      delete job.end
      this.#enter(order, job, 'concluded')
    },
    'job-complete': ({ id }, order) => this.#enter(order, this.#job(id), 'pending'),
    'job-finalize': ({ id }, order) => {
      const job = this.#job(id)
      job.end?.()
      delete job.end
      this.#enter(order, job, 'concluded')
    },
    'job-dismiss': ({ id }) => {
      this.#job(id)
      this.jobs.delete(id)
    },
    'query-jobs': () => [...this.jobs.values()].map(({ end: _, ...job }) => job),
    'query-block-jobs': () => [],
    'qom-list': ({ path }) =>
      path === '/machine/peripheral' ? [...this.devices].map(name => ({ name, type: 'child<x>' })) : [],
    'query-block': () =>
      [...this.tops].map(([id, node]) => ({
        qdev: `/machine/peripheral/${id}/virtio-backend`,
        removable: false,
        inserted: { 'node-name': node }
      })),
    'query-named-block-nodes': () => [...this.nodes].map(([name, node]) => this.#shown(name, node)),
    transaction: ({ actions }, order) => {
      // all or none
      for (const { type, data } of actions) this.#check(type, data)
      for (const { type, data } of actions) this.#act(type, data, order)
    },
    'block-dirty-bitmap-remove': data => {
      this.#check('block-dirty-bitmap-remove', data)
      this.#act('block-dirty-bitmap-remove', data)
    },
    'nbd-server-start': () => {
      this.hasServer = true
    },
    'nbd-server-stop': () => {
      this.hasServer = false
      this.exports.clear()
    },
    'block-export-add': ({ id }) => void this.exports.add(id),
    'query-migrate-capabilities': () => [{ capability: 'events', state: false }],
    'migrate-set-capabilities': () => undefined,
    'migrate-set-parameters': () => undefined,
    migrate: (_, { peer }) => {
      this.migration = 'completed'
      for (const status of ['setup', 'active', 'completed']) peer.event('MIGRATION', { status })
    },
    'migrate-incoming': (_, { peer }) => {
      for (const status of ['setup', 'active', 'completed']) peer.event('MIGRATION', { status })
    },
    migrate_cancel: () => {
      this.migration = 'cancelled'
    },
    'query-migrate': () => (this.migration === 'none' ? {} : { status: this.migration, ram: RAM })
  }

  #add(args: Args): void {
    const { 'node-name': name, file, backing, filename } = args
    if (this.nodes.has(name)) throw new Refusal(`Duplicate nodes with node-name='${name}'`)
    const path = filename ?? (typeof file === 'string' ? this.nodes.get(file)?.path : undefined)
    const isFormat = typeof file === 'string'
    const snapshots = isFormat && path !== undefined ? (this.#saved.get(path) ?? []) : []
    if (isFormat && path !== undefined) this.#saved.set(path, snapshots)
    if (typeof backing === 'string') this.#node(backing)
    this.nodes.set(name, {
      path,
      ...(isFormat && { file }),
      ...(typeof backing === 'string' && { below: backing }),
      snapshots,
      bitmaps: []
    })
  }

  #node(name: string): Node {
    const found = this.nodes.get(name)
    if (!found) throw new Refusal(`Failed to find node with node-name='${name}'`)
    return found
  }

  #job(id: string): Job {
    const found = this.jobs.get(id)
    if (!found) throw new Refusal(`Job '${id}' not found`)
    return found
  }

  #begin(order: Order, job: Job): void {
    if (this.jobs.has(job.id)) throw new Refusal(`Job ID '${job.id}' already in use`)
    this.jobs.set(job.id, job)
    this.#enter(order, job, job.status)
  }

  /** Told after the answer, as QEMU's jobs go on by themselves. */
  #enter({ peer }: Order, job: Job, status: string): void {
    job.status = status
    setImmediate(() => {
      if (this.jobs.get(job.id) === job) peer.event('JOB_STATUS_CHANGE', { id: job.id, status })
    })
  }

  #commit(args: Args, order: Order): void {
    const { 'job-id': id, 'top-node': top, 'base-node': base, 'auto-finalize': finalizes } = args
    const [, device] = [this.#node(base), [...this.tops].find(([, node]) => node === top)?.[0]]
    const parent = [...this.nodes].find(([, { below }]) => below === top)?.[0]
    const end = () => {
      if (device !== undefined) this.tops.set(device, base)
      if (parent !== undefined) this.#node(parent).below = base
      // the layers between are apart from then on
      for (let at = this.#node(top); at.below !== base; at = this.#node(at.below!)) if (at.below === undefined) return
      this.#node(top).below = undefined
    }
    const waits = device === undefined ? 'pending' : 'ready'
    if (device === undefined && finalizes !== false) end()
    this.#begin(order, {
      id,
      type: 'commit',
      status: device === undefined && finalizes !== false ? 'concluded' : waits,
      end
    })
  }

  #check(type: string, { node, name, overlay, device, target }: Args): void {
    if (type === 'blockdev-snapshot') this.#node(overlay)
    if (type === 'blockdev-backup') this.#node(target)
    const { bitmaps } = this.#node(node ?? device)
    if (type === 'block-dirty-bitmap-remove' && !bitmaps.includes(name))
      throw new Refusal(`Dirty bitmap '${name}' not found`)
  }

  #act(type: string, data: Args, order?: Order): void {
    const { node, name, overlay, target } = data
    if (type === 'blockdev-snapshot') {
      this.#node(overlay).below = node
      for (const [device, top] of this.tops) if (top === node) this.tops.set(device, overlay)
    } else if (type === 'blockdev-backup') {
      this.#begin(order!, { id: data['job-id'], type: 'backup', status: 'running' })
    } else if (type === 'block-dirty-bitmap-add') {
      this.#node(node).bitmaps.push(name)
    } else if (type === 'block-dirty-bitmap-remove') {
      const { bitmaps } = this.#node(node)
      bitmaps.splice(bitmaps.indexOf(name), 1)
    } else if (type !== 'block-dirty-bitmap-merge') throw new Refusal(`no action ${type} ${target}`)
  }

  #shown(name: string, { below, snapshots, bitmaps }: Node): object {
    let depth = 0
    for (let at = below; at !== undefined; at = this.nodes.get(at)?.below) depth++
    return {
      'node-name': name,
      backing_file_depth: depth,
      image: { ...IMAGE, snapshots },
      'dirty-bitmaps': bitmaps.map(one => ({
        name: one,
        count: 0,
        granularity: 65536,
        recording: true,
        persistent: true,
        busy: false
      }))
    }
  }
}
