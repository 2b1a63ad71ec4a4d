// The user and function ids that PCI devices have on s390 besides their PCI address (virDomainZPCIAddress…).
import { eachDeviceInfo } from '../../../../conf/devices/index.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** libvirt takes these for every uid but 0. */
export const ZPCI_MAX_UID = 0xffff
const ZPCI_MAX_FID = 0xffffffff

/** Ids in use, each kind by itself. */
class Ids {
  readonly #used = new Set<number>()
  readonly #name: string
  readonly #min: number
  readonly #max: number

  constructor(name: string, min: number, max: number) {
    this.#name = name
    this.#min = min
    this.#max = max
  }

  /** That id or the lowest free one. */
  take(given: number | undefined): number {
    let id = given ?? this.#min
    if (given === undefined) {
      while (this.#used.has(id)) {
        if (id++ === this.#max) throw fail('VIR_ERR_INTERNAL_ERROR', `There is no more free ${this.#name}.`)
      }
    } else if (this.#used.has(id)) {
      throw fail('VIR_ERR_INTERNAL_ERROR', `zPCI ${this.#name} ${id.toString(8)} is already reserved`)
    }
    this.#used.add(id)
    return id
  }
}

/** Completes the ids of all PCI devices: first those the user named in part, then the rest. */
export function assignZpciIds(def: DomainDef): void {
  const uids = new Ids('uid', 1, ZPCI_MAX_UID)
  const fids = new Ids('fid', 0, ZPCI_MAX_FID)
  for (const named of [true, false]) {
    for (const [kind, { address }] of eachDeviceInfo(def.devices)) {
      if (address?.type !== 'pci' || isChardev(kind)) continue
      const { uid, fid } = address.zpci ?? {}
      const complete = uid !== undefined && fid !== undefined
      if (named ? uid === undefined && fid === undefined : complete) continue
      address.zpci = { uid: uids.take(uid), fid: fids.take(fid) }
    }
  }
}

const isChardev = (kind: string) => ['serials', 'parallels', 'channels', 'consoles'].includes(kind)
