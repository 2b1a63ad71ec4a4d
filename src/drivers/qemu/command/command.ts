// The command line under construction.
import type { DomainDef } from '../../../conf/domain-def.ts'
import { formatJson } from '../../../conf/json.ts'
import { randomBytes } from '../../../conf/random.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { QemuContext } from '../context.ts'
import { withOverrides } from '../parts/overrides.ts'
import { keyValue, type Props } from '../parts/props.ts'
import { zpciProps } from '../parts/zpci.ts'

/** Bytes of an AES-256 key. */
const MASTER_KEY_LEN = 32

/** Collects the arguments of one QEMU. */
export class Command {
  readonly argv: string[] = []
  readonly env: Record<string, string> = {}
  /** -mem-prealloc is given: memory objects need not say it again */
  memPrealloc = false
  /** directories the guest's memory lies in, to be made before QEMU starts */
  readonly memoryDirs = new Set<string>()
  readonly def: DomainDef
  readonly context: QemuContext
  /** what the secrets among the arguments are encrypted with; QEMU reads it from a file of its own */
  readonly masterKey = randomBytes(MASTER_KEY_LEN)

  constructor(def: DomainDef, context: QemuContext) {
    this.def = def
    this.context = context
  }

  get qemu(): Qemu {
    return this.context.qemu
  }

  #fdsets = 0

  add(...words: string[]): void {
    this.argv.push(...words)
  }

  /** `-add-fd set=…,fd=…`: puts an inherited file into a set of its own; gives the path QEMU opens it by. */
  addFd(fd: number, opaque: string): string {
    const set = this.#fdsets++
    this.add('-add-fd', keyValue('', { set, fd, opaque }))
    return `/dev/fdset/${set}`
  }

  /** `-device {"driver":…}`; on s390 that of the PCI device's ids goes first (qemuCommandAddExtDevice). */
  device(props: Props & { driver: string }): void {
    const extension = this.qemu.has('zpci') ? zpciProps(this.def, props.id) : undefined
    if (extension) this.add('-device', formatJson(withOverrides(this.def, extension)))
    this.add('-device', formatJson(withOverrides(this.def, props)))
  }

  /** `-object {"qom-type":…,"id":…}` */
  object(props: Props & { 'qom-type': string; id: string }): void {
    this.add('-object', formatJson(props))
  }

  /** `-blockdev {"driver":…,"node-name":…}` */
  blockdev(props: Props & { driver: string; 'node-name': string }): void {
    this.add('-blockdev', formatJson(props))
  }

  /** `-netdev {"type":…,"id":…}` */
  netdev(props: Props & { type: string; id: string }): void {
    this.add('-netdev', formatJson(props))
  }
}
