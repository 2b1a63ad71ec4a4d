// The command line under construction.
import type { DomainDef } from '../../../conf/domain-def.ts'
import { formatJson } from '../../../conf/json.ts'
import { randomBytes } from '../../../conf/random.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { QemuContext } from '../context.ts'
import type {
  BlockdevProps,
  Builder,
  DeviceProps,
  HandedFile,
  NetdevProps,
  ObjectProps,
  StartOptions
} from '../parts/builder.ts'
import { type ChardevBackend, chardevArg } from '../parts/chardev.ts'
import { withOverrides } from '../parts/overrides.ts'
import { keyValue } from '../parts/props.ts'
import { zpciProps } from '../parts/zpci.ts'

/** Bytes of an AES-256 key. */
const MASTER_KEY_LEN = 32

/** Collects the arguments of one QEMU. */
export class Command implements Builder, StartOptions {
  readonly argv: string[] = []
  readonly env: Record<string, string> = {}
  readonly def: DomainDef
  readonly context: QemuContext
  readonly masterKey = randomBytes(MASTER_KEY_LEN)
  readonly atStart: StartOptions = this
  /** number of the next set of descriptors */
  fdsetIndex = 0
  /** its memory is not to be an empty machine's */
  readonly waits: boolean

  constructor(def: DomainDef, context: QemuContext, waits = false) {
    this.def = def
    this.context = context
    this.waits = waits
  }

  get qemu(): Qemu {
    return this.context.qemu
  }

  add(...words: string[]): void {
    this.argv.push(...words)
  }

  /** `-device {"driver":…}`; on s390 that of the PCI device's ids goes first (qemuCommandAddExtDevice). */
  device(props: DeviceProps): void {
    const extension = this.qemu.has('zpci') ? zpciProps(this.def, props.id) : undefined
    if (extension) this.add('-device', formatJson(withOverrides(this.def, extension)))
    this.add('-device', formatJson(withOverrides(this.def, props)))
  }

  /** `-object {"qom-type":…,"id":…}` */
  object(props: ObjectProps): void {
    this.add('-object', formatJson(props))
  }

  /** `-chardev socket,id=…` */
  chardev(id: string, backend: ChardevBackend): void {
    this.add('-chardev', chardevArg(id, backend))
  }

  /** `-blockdev {"driver":…,"node-name":…}` */
  blockdev(props: BlockdevProps): void {
    this.add('-blockdev', formatJson(props))
  }

  /** `-netdev {"type":…,"id":…}` */
  netdev(props: NetdevProps): void {
    this.add('-netdev', formatJson(props))
  }

  /** The number QEMU inherits the file by, or with `-add-fd set=…,fd=…` the path of its set. */
  fd({ name, path, set, group }: HandedFile): string | undefined {
    const { files } = this.context
    const given = group === undefined ? undefined : files.group?.(group)
    if (given) return this.#set(name, files.openGroup?.(given) ?? [])
    if (group !== undefined) return undefined
    const fd = path === undefined ? files.tap(name) : files.open(path)
    if (fd === undefined || !set) return fd?.toString()
    const number = this.fdsetIndex++
    this.add('-add-fd', keyValue('', { set: number, fd, opaque: name }))
    return `/dev/fdset/${number}`
  }

  /** A set of several files. @returns its path */
  #set(name: string, fds: readonly number[]): string {
    const set = this.fdsetIndex++
    for (const [i, fd] of fds.entries()) this.add('-add-fd', keyValue('', { set, fd, opaque: `${name}${i}` }))
    return `/dev/fdset/${set}`
  }
}
