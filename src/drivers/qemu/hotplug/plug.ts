// Devices told to a running QEMU: the commands of its monitor for the parts of a device, and back.
import { setTimeout as sleep } from 'node:timers/promises'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { type FileGroup, isUsable } from '../../../host/inherited-files.ts'
import type { MadeFile } from '../../../host/made-files.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { QemuContext } from '../context.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import type { BlockdevProps, Builder, DeviceProps, HandedFile, NetdevProps, ObjectProps } from '../parts/builder.ts'
import type { ChardevBackend } from '../parts/chardev.ts'
import { zpciProps } from '../parts/zpci.ts'
import { unplugged } from './unplug.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Time QEMU may take to let go of the parts of a device that is gone already: its last readers end a little later (RCU). */
const LET_GO_LIMIT_MS = 5000
const LET_GO_PAUSE_MS = 20
/** QEMU's words for what something else has. */
const IS_HELD = / is (in use|busy)/

/** Hands open files to QEMU along with a command: takes a socket that can pass descriptors. */
export interface FdPasser {
  /** Opens a device of the host, or makes a file, hands it over with the command, and closes it. */
  pass(file: string | MadeFile, command: 'getfd' | 'add-fd', args: object): Promise<unknown>
  /** number of one more set of descriptors */
  nextSet(): number
  /** the queue of a tap device that is to be made for QEMU; undefined where QEMU opens the device by its name */
  made?(name: string): MadeFile | undefined
  /** a client's files by the name it has given them */
  group?(name: string): FileGroup | undefined
}

/** The guest devices are plugged into. */
export interface PlugGuest {
  /** with the device in it */
  def: DomainDef
  context: QemuContext
  masterKey: Uint8Array
  /** settles when its QEMU is gone */
  ended?: Promise<unknown>
}

interface Step {
  apply(qmp: QmpMonitor): Promise<unknown>
  undo(qmp: QmpMonitor): Promise<unknown>
  /** a node of an image: QEMU refuses those on top of one that it has refused */
  isNode?: true
}

/** Hears what could not be taken back. */
type Warn = (error: unknown) => void

/**
 * Collects the commands for devices; nothing is sent before `execute`. Devices come last, whatever their family's order
 * is: unlike a command line's, each command is carried out at once.
 */
export class Plug implements Builder {
  readonly def: DomainDef
  readonly context: QemuContext
  readonly masterKey: Uint8Array
  /** the guest has been asked for a device of these and keeps it, with the parts of all */
  isKept = false
  readonly #ended: Promise<unknown> | undefined
  readonly #passFd: FdPasser | undefined
  readonly #parts: Step[] = []
  readonly #devices: Step[] = []
  readonly #ids = new Set<string>()

  constructor({ def, context, masterKey, ended }: PlugGuest, { passFd }: { passFd?: FdPasser } = {}) {
    this.def = def
    this.context = context
    this.masterKey = masterKey
    this.#ended = ended
    this.#passFd = passFd
  }

  get qemu(): Qemu {
    return this.context.qemu
  }

  object(props: ObjectProps): void {
    this.#parts.push(step(['object-add', props], ['object-del', { id: props.id }]))
  }

  chardev(id: string, backend: ChardevBackend): void {
    const { apply, undo } = step(['chardev-add', { id, backend }], ['chardev-remove', { id }])
    this.#parts.push({ apply, undo: qmp => undo(qmp).catch(unlessGone) })
  }

  netdev(props: NetdevProps): void {
    this.#parts.push(step(['netdev_add', props], ['netdev_del', { id: props.id }]))
  }

  blockdev(props: BlockdevProps): void {
    this.#parts.push({
      ...step(['blockdev-add', props], ['blockdev-del', { 'node-name': props['node-name'] }]),
      isNode: true
    })
  }

  /** On s390 that of the PCI device's ids goes first (qemuDomainAttachExtensionDevice). */
  device(props: DeviceProps): void {
    const extension = this.qemu.has('zpci') ? zpciProps(this.def, props.id) : undefined
    for (const one of extension ? [extension, props] : [props]) {
      this.#ids.add(String(one.id))
      this.#devices.push({
        apply: qmp => qmp.execute('device_add', one),
        undo: qmp => this.#deleteDevice(qmp, String(one.id))
      })
    }
  }

  /** @throws VIR_ERR_OPERATION_UNSUPPORTED without a passer of descriptors */
  fd({ name, path, set, group }: HandedFile): string | undefined {
    const passer = this.#passFd
    if (group !== undefined) return passer && this.#group(passer, name, filesIn(passer, group))
    const file = path ?? passer?.made?.(name)
    if (file === undefined) return undefined
    if (!passer) throw fail('VIR_ERR_OPERATION_UNSUPPORTED', `'${path}' cannot be handed to a QEMU that runs already`)
    if (path !== undefined && !isUsable(path)) return undefined
    if (!set) {
      this.#parts.push({
        apply: () => passer.pass(file, 'getfd', { fdname: name }),
        // it is the device's own once that uses it
        undo: qmp => qmp.execute('closefd', { fdname: name }).catch(() => undefined)
      })
      return name
    }
    const number = passer.nextSet()
    this.#parts.push({
      apply: () => passer.pass(file, 'add-fd', { 'fdset-id': number, opaque: name }),
      undo: qmp => removeSet(qmp, name)
    })
    return `/dev/fdset/${number}`
  }

  /** A set of several files. @returns its path */
  #group(passer: FdPasser, name: string, files: readonly MadeFile[]): string {
    const number = passer.nextSet()
    // whoever takes it away may have none of its files
    this.#parts.push({ apply: nothing, undo: qmp => removeSet(qmp, `${name}0`) })
    for (const [i, file] of files.entries()) {
      this.#parts.push({
        apply: () => passer.pass(file, 'add-fd', { 'fdset-id': number, opaque: `${name}${i}` }),
        undo: nothing
      })
    }
    return `/dev/fdset/${number}`
  }

  /** True where QEMU is told of a device of that id. */
  hasDevice(id: string): boolean {
    return this.#ids.has(id)
  }

  /** Tells QEMU. Where it refuses, what it took before is taken back. @throws VIR_ERR_INTERNAL_ERROR with its words */
  async execute(qmp: QmpMonitor, warn: Warn): Promise<void> {
    const done: Step[] = []
    for (const steps of together([...this.#parts, ...this.#devices])) {
      const answers = await Promise.allSettled(steps.map(one => one.apply(qmp)))
      done.push(...steps.filter((_, i) => answers[i]!.status === 'fulfilled'))
      const refused = answers.find(({ status }) => status === 'rejected')
      if (refused === undefined) continue
      await this.#undo(done, qmp, warn)
      throw (refused as PromiseRejectedResult).reason
    }
  }

  /** Takes all back, the devices first. */
  async takeBack(qmp: QmpMonitor, warn: Warn): Promise<void> {
    await this.#undo([...this.#parts, ...this.#devices], qmp, warn)
  }

  /** Takes back what is left in QEMU of devices that are gone. */
  async removeParts(qmp: QmpMonitor, warn: Warn): Promise<void> {
    await this.#undo(this.#parts, qmp, warn)
  }

  /** The last step first. What stands on a device that stays, stays. */
  async #undo(steps: readonly Step[], qmp: QmpMonitor, warn: Warn): Promise<void> {
    const deadline = performance.now() + LET_GO_LIMIT_MS
    for (const group of together(steps.toReversed())) {
      // those below one that is held are refused with it, and are asked for anew behind it
      const asked = group.length > 1 ? await Promise.allSettled(group.map(one => one.undo(qmp))) : []
      for (const one of group.filter((_, i) => asked[i]?.status !== 'fulfilled')) {
        try {
          await onceLetGo(() => one.undo(qmp), deadline)
        } catch (error) {
          warn(error)
          this.isKept ||= this.#devices.includes(one)
          if (this.isKept) return
        }
      }
    }
  }

  /** Unplugs a device and waits until it is gone. @throws VIR_ERR_OPERATION_FAILED if the guest keeps it */
  async #deleteDevice(qmp: QmpMonitor, id: string): Promise<void> {
    const isGone = await unplugged({ def: this.def, qmp, ended: this.#ended }, id, true)
    if (!isGone) throw fail('VIR_ERR_OPERATION_FAILED', `the guest does not give up device '${id}'`)
  }
}

/** A client's files; none where they are only to be taken away. @throws VIR_ERR_INVALID_ARG when it took them back meanwhile */
function filesIn(passer: FdPasser, name: string): readonly MadeFile[] {
  const found = passer.group?.(name)
  if (found || !passer.group) return found?.files ?? []
  throw fail('VIR_ERR_INVALID_ARG', `file descriptor group '${name}' was not associated with the domain`)
}

/** Steps in their order: those that are told in one go, without waiting for answers in between. */
function together(steps: readonly Step[]): Step[][] {
  const groups: Step[][] = []
  for (const one of steps) {
    const last = groups.at(-1)
    if (one.isNode && last?.[0]?.isNode) last.push(one)
    else groups.push([one])
  }
  return groups
}

type Call = [command: string, args: object]

function step(apply: Call, undo: Call): Step {
  return { apply: qmp => qmp.execute(...apply), undo: qmp => qmp.execute(...undo) }
}

const nothing = async (): Promise<void> => undefined

/** usb-redir takes its chardev along. */
function unlessGone(error: Error): void {
  if (!error.message.endsWith('not found')) throw error
}

/** Does what QEMU refuses as long as somebody has the part that is meant. @throws its refusal, after the deadline too */
async function onceLetGo(work: () => Promise<unknown>, deadline: number): Promise<void> {
  for (;;) {
    try {
      await work()
      return
    } catch (error) {
      if (!IS_HELD.test((error as Error).message) || performance.now() > deadline) throw error
      await sleep(LET_GO_PAUSE_MS)
    }
  }
}

/** Removes the set of descriptors that bears that name. */
async function removeSet(qmp: QmpMonitor, name: string): Promise<void> {
  const sets = await qmp.execute<{ 'fdset-id': number; fds: { opaque?: string }[] }[]>('query-fdsets')
  for (const set of sets.filter(({ fds }) => fds.some(({ opaque }) => opaque === name)))
    await qmp.execute('remove-fd', { 'fdset-id': set['fdset-id'] })
}
