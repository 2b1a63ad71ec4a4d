// The block side of a stand-in QEMU: nodes, drives with trays and media, disks plugged in; each command has its effect.
import type { Answers, Order } from './stand-in-qemu.ts'

interface Drive {
  medium: string | undefined
  open: boolean
  /** the guest keeps its tray shut */
  locked: boolean
}

/** Commands with an effect, in the order in which they were carried out. */
const COMMANDS = [
  'blockdev-add',
  'blockdev-del',
  'blockdev-open-tray',
  'blockdev-close-tray',
  'blockdev-remove-medium',
  'blockdev-insert-medium',
  'block_set_io_throttle',
  'device_add',
  'device_del',
  'object-add',
  'object-del'
] as const
export type BlockCommand = (typeof COMMANDS)[number]

/** What becomes of a command: it fails, is never carried out, or is carried out without an answer. */
export type Fate = 'refused' | 'lost' | 'unanswered'

export class BlockModel {
  readonly nodes = new Set<string>()
  readonly devices = new Set<string>()
  readonly objects = new Set<string>()
  readonly drives = new Map<string, Drive>()
  /** done so far */
  readonly done: BlockCommand[] = []
  /** the guest gives up no device */
  keeps = false
  /** so many tries to remove a node come too early: something still has it */
  early = 0
  #fate: { command: BlockCommand; skip: number; fate: Fate } | undefined
  #met: () => void = () => undefined

  /** The fate of the next command of that name but for so many; settles when it has been met. */
  expect(command: BlockCommand, fate: Fate, skip = 0): Promise<void> {
    this.#fate = { command, skip, fate }
    return new Promise(resolve => {
      this.#met = resolve
    })
  }

  get answers(): Answers {
    const commands = COMMANDS.map(command => [command, (order: Order) => this.#take(command, order)])
    return {
      ...Object.fromEntries(commands),
      'query-block': (order: Order) => order.reply(this.#drives()),
      'qom-list': (order: Order) => order.reply([...this.devices].map(name => ({ name, type: 'child<x>' }))),
      'query-named-block-nodes': (order: Order) => order.reply([...this.nodes].map(name => ({ 'node-name': name })))
    }
  }

  #drives() {
    return [...this.drives].map(([qdev, { medium, open, locked }]) => ({
      qdev,
      removable: true,
      locked,
      tray_open: open,
      ...(medium !== undefined && { inserted: { 'node-name': medium } })
    }))
  }

  #take(command: BlockCommand, order: Order): void {
    const expected = this.#fate
    if (expected?.command === command && expected.skip-- === 0) {
      this.#fate = undefined
      if (expected.fate === 'unanswered') this.#carryOut(command, order)
      if (expected.fate === 'refused') order.refuse('as the test wants')
      this.#met()
      return
    }
    const refusal = this.#carryOut(command, order)
    if (refusal === undefined) order.reply()
    else order.refuse(refusal)
  }

  /** @returns QEMU's refusal */
  #carryOut(command: BlockCommand, { args, peer }: Order): string | undefined {
    const { id, 'node-name': node } = args
    const drive = this.drives.get(id)
    const move = (open: boolean) => {
      if (!drive || drive.open === open) return
      drive.open = open
      peer.event('DEVICE_TRAY_MOVED', { device: '', id, 'tray-open': open })
    }
    switch (command) {
      case 'blockdev-add':
        if (this.nodes.has(node)) return `duplicate node name ${node}`
        this.nodes.add(node)
        break
      case 'blockdev-del':
        if ([...this.drives.values()].some(({ medium }) => medium === node)) return `node ${node} is in use`
        if (this.early > 0) {
          this.early--
          return `Node ${node} is in use`
        }
        if (!this.nodes.delete(node)) return `no node ${node}`
        break
      case 'blockdev-open-tray':
        if (!drive?.locked || args.force) move(true)
        break
      case 'blockdev-close-tray':
        move(false)
        break
      case 'blockdev-remove-medium':
        if (!drive?.open) return 'Tray of device is not open'
        drive.medium = undefined
        break
      case 'blockdev-insert-medium':
        if (!drive?.open || drive.medium !== undefined) return 'the drive is not ready'
        drive.medium = node
        break
      case 'device_add':
        if (this.devices.has(id)) return `Duplicate device ID '${id}'`
        this.devices.add(id)
        break
      case 'device_del':
        if (!this.devices.has(id)) return `Device '${id}' not found`
        if (this.keeps) break
        this.devices.delete(id)
        peer.event('DEVICE_DELETED', { device: id, path: `/machine/peripheral/${id}` })
        break
      case 'object-add':
        this.objects.add(id)
        break
      case 'object-del':
        if (!this.objects.delete(id)) return `object '${id}' not found`
        break
    }
    this.done.push(command)
    return undefined
  }
}
