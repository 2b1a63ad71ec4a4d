// Devices of the persistent definition: attached, detached and updated without a QEMU. Each change is made to a copy,
// which is complete and on disk before it counts.
import { checkCompatible } from '../../../conf/compatible-device.ts'
import type { Device } from '../../../conf/device-xml.ts'
import { type AnyDevice, type DeviceKind, eachDevice, familyOf } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { validateAliases } from '../../../conf/domain-validate.ts'
import { formatDomain, parseDomain } from '../../../conf/domain-xml.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Meant } from '../../method.ts'
import type { QemuContext } from '../context.ts'
import { completeDomain, loadDevice } from '../definition/passes.ts'
import { type ConfigRules, leave } from '../device/family.ts'
import { qemuFamily } from '../device/index.ts'
import type { QemuDomain } from './domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')

/**
 * Adds a device (qemuDomainAttachDeviceLiveAndConfig).
 * @throws VIR_ERR_OPERATION_INVALID for what is there already, VIR_ERR_OPERATION_UNSUPPORTED for kinds that cannot be
 * added, as loadDevice and checkCompatible
 */
export function attachDevice(domain: QemuDomain, xml: string, meant: Meant): void {
  const change = (def: DomainDef, context: QemuContext) => {
    const device = loadDevice(xml, def, context)
    const [, dev] = device
    validateAliases(def, dev)
    checkCompatible(def, device)
    const { attach } = rulesFor(device)
    if (!attach) throw unsupported('attach', device)
    attach(dev, def)
  }
  changeDevices(domain, meant, change, { isNew: true, check: true })
}

/**
 * Removes the device that is described (qemuDomainDetachDeviceLiveAndConfig).
 * @throws VIR_ERR_DEVICE_MISSING and others where there is none, VIR_ERR_OPERATION_UNSUPPORTED for kinds that cannot be
 * removed, as loadDevice; it is not checked
 */
export function detachDevice(domain: QemuDomain, xml: string, meant: Meant): void {
  changeDevices(domain, meant, def => detach(loadDevice(xml, domain.def, domain.context, { check: false }), def))
}

/**
 * Removes the device with that alias, which a definition has from its user (qemuDomainDetachDeviceAliasLiveAndConfig).
 * @throws VIR_ERR_INTERNAL_ERROR where there is none, as detachDevice
 */
export function detachDeviceAlias(domain: QemuDomain, alias: string, meant: Meant): void {
  changeDevices(domain, meant, def => {
    for (const [kind, dev] of eachDevice(def.devices)) if (dev.alias === alias) return detach([kind, dev], def)
    throw failDomain('VIR_ERR_INTERNAL_ERROR', `no device found with alias ${alias}`)
  })
}

/**
 * Puts a device in the place of the one it is a new description of (qemuDomainUpdateDeviceFlags).
 * @throws VIR_ERR_INVALID_ARG and others where there is none, VIR_ERR_OPERATION_UNSUPPORTED for kinds that cannot be
 * changed, as loadDevice and checkCompatible
 */
export function updateDevice(domain: QemuDomain, xml: string, meant: Meant): void {
  changeDevices(domain, meant, def => {
    const device = loadDevice(xml, domain.def, domain.context)
    const [kind, dev] = device
    const { noneToUpdate, findToUpdate } = rulesFor(device)
    if (!noneToUpdate) throw unsupported('update', device)
    const there = findToUpdate ? findToUpdate(dev, def) : find(device, def)
    if (!there) throw noneToUpdate(dev)
    checkCompatible(def, device, there)
    const list = def.devices[kind] as AnyDevice[]
    list[list.indexOf(there)] = dev
  })
}

function detach(device: Device, def: DomainDef): void {
  const [kind, dev] = device
  const { noneToDetach, detach } = rulesFor(device)
  if (!noneToDetach) throw unsupported('detach', device)
  const there = find(device, def)
  if (!there) throw noneToDetach(dev)
  const takeOut = detach ?? qemuFamily(kind)?.unplug ?? leave(kind)
  takeOut(there, def)
}

const rulesFor = ([kind]: Device): ConfigRules<AnyDevice> => qemuFamily(kind)?.config ?? {}

function find(device: Device, def: DomainDef): AnyDevice | undefined {
  const [kind, dev] = device
  const { find: found } = rulesFor(device)
  if (found) return found(dev, def)
  return (def.devices[kind] as AnyDevice[]).find(one => familyOf(kind).same?.(dev, one))
}

/** Families that are one kind of device to libvirt (VIR_DOMAIN_DEVICE_CHR). */
const CHARDEVS: readonly DeviceKind[] = ['serials', 'parallels', 'consoles', 'channels']

const unsupported = (verb: string, [kind]: Device) =>
  fail(
    'VIR_ERR_OPERATION_UNSUPPORTED',
    `persistent ${verb} of device '${CHARDEVS.includes(kind) ? 'chr' : familyOf(kind).element}' is not supported`
  )

/** @param pass see completeDomain */
function changeDevices(
  domain: QemuDomain,
  { live, config }: Meant,
  change: (def: DomainDef, context: QemuContext) => void,
  pass: { isNew?: boolean; check?: boolean } = { isNew: false }
): void {
  if (live) throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'devices of a running domain cannot be changed')
  const context = domain.definitions.newContext ?? domain.context
  domain.change({ config }, kept => {
    const def = copyOf(kept, context)
    change(def, context)
    completeDomain(def, context, pass)
    return def
  })
}

/** A copy as the file has it (virDomainObjCopyPersistentDef). */
function copyOf(def: DomainDef, context: QemuContext): DomainDef {
  const copy = parseDomain(formatDomain(def, { secure: true }))
  completeDomain(copy, context, { isNew: false })
  return copy
}
