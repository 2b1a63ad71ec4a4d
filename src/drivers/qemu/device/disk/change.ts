// What of a disk cannot change while its guest runs, in libvirt's order (qemuDomainDiskChangeSupported).
import { isDeepStrictEqual } from 'node:util'
import { sameAddress } from '../../../../conf/devices/device-address.ts'
import type { DiskDef } from '../../../../conf/devices/disk.ts'
import { IOTUNE_LIMITS } from '../../../../conf/devices/disk-iotune.ts'
import { errorsFrom } from '../../../../conf/error.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

type Value = (disk: DiskDef) => unknown

/** Fields by libvirt's name of them; one that is left open stays as it is. */
type Fields = [name: string, value: Value][]

const GEOMETRY: Fields = [
  ['geometry cylinders', ({ geometry }) => geometry?.cylinders],
  ['geometry heads', ({ geometry }) => geometry?.heads],
  ['geometry sectors', ({ geometry }) => geometry?.sectors],
  ['BIOS-translation-modus', ({ geometry }) => geometry?.translation]
]

/** Fields that must be given again. */
const BLOCKIO: Fields = [
  ['blockio logical_block_size', ({ blockio }) => blockio?.logical ?? 0],
  ['blockio physical_block_size', ({ blockio }) => blockio?.physical ?? 0],
  ['blockio discard_granularity', ({ blockio }) => blockio?.discardGranularity ?? 0]
]

const TARGET: Fields = [
  ['device', ({ device }) => device],
  ['bus', ({ target }) => target?.bus],
  ['target', ({ target }) => target?.dev],
  ['tray', ({ target }) => target?.tray],
  ['removable', ({ target }) => target?.removable]
]

const isCompared = (limit: string) => !limit.endsWith('_length')

const SETTINGS: Fields = [
  ...IOTUNE_LIMITS.filter(isCompared).map((limit): Fields[number] => [
    `blkdeviotune ${limit}`,
    ({ iotune }) => iotune?.[limit]
  ]),
  ['blkdeviotune group name', ({ iotune }) => iotune?.group_name],
  ['serial', ({ serial }) => serial],
  ['wwn', ({ wwn }) => wwn],
  ['vendor', ({ vendor }) => vendor],
  ['product', ({ product }) => product],
  ['cache', ({ driver }) => driver.cache],
  ['error_policy', ({ driver }) => driver.errorPolicy],
  ['rerror_policy', ({ driver }) => driver.rerrorPolicy],
  ['io', ({ driver }) => driver.io],
  ['ioeventfd', ({ driver }) => driver.ioeventfd],
  ['event_idx', ({ driver }) => driver.eventIdx],
  ['copy_on_read', ({ driver }) => driver.copyOnRead],
  ['discard_no_unref', ({ driver }) => driver.discardNoUnref],
  ['transient', ({ transient }) => (transient ? true : undefined)]
]

const REST: Fields = [
  ['boot order', ({ boot }) => boot?.order],
  ['rawio', ({ rawio }) => rawio],
  ['sgio', ({ sgio }) => sgio],
  ['discard', ({ driver }) => driver.discard],
  ['iothread', ({ driver }) => driver.iothread]
]

const SOURCE: Fields = [
  ['backenddomain', ({ backendDomain }) => backendDomain],
  ['readonly', ({ readonly }) => readonly],
  ['shared', ({ shareable }) => shareable]
]

const isOpen = (value: unknown) => value === undefined || value === 0 || value === 0n

/** @throws VIR_ERR_OPERATION_UNSUPPORTED for a disk that is described otherwise than it is */
export function checkSameFields(disk: DiskDef, there: DiskDef): void {
  const refuse = (name: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', `cannot modify field '${name}' of the disk`)
  const check = (fields: Fields) => {
    for (const [name, value] of fields) {
      if (!isOpen(value(disk)) && !isDeepStrictEqual(value(disk), value(there))) throw refuse(name)
    }
  }
  check(TARGET)
  const { cylinders, heads, sectors } = disk.geometry ?? {}
  if (cylinders && heads && sectors) check(GEOMETRY)
  for (const [name, value] of BLOCKIO) if (value(disk) !== value(there)) throw refuse(name)
  check(SETTINGS)
  if (disk.address && !sameAddress(disk.address, there.address)) throw refuse('address')
  check(REST)
  if (!isDeepStrictEqual(disk.driver.iothreads ?? [], there.driver.iothreads ?? [])) {
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', "cannot modify '<iothreads>' configuration of the disk")
  }
  check(SOURCE)
  if (!isDeepStrictEqual(reservations(disk), reservations(there))) throw refuse('reservations')
}

/** The path of a helper that comes with the guest is no setting. */
function reservations({ source }: DiskDef) {
  const { managed, ...own } = source.reservations ?? {}
  return source.reservations && (managed ? { managed } : own)
}
