// Devices of the persistent definition: attached, detached and updated without a QEMU. Each change is made to a copy,
// which is complete and on disk before it counts.
import { checkCompatible } from '../../../conf/compatible-device.ts'
import type { Device } from '../../../conf/device-xml.ts'
import { type AnyDevice, type DeviceKind, eachDevice, familyOf } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { validateAliases } from '../../../conf/domain-validate.ts'
import { formatDomain, parseDomain } from '../../../conf/domain-xml.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'
import { completeDomain, loadDevice } from '../definition/passes.ts'
import { type ConfigRules, leave } from '../device/family.ts'
import { qemuFamily } from '../device/index.ts'
import type { QemuDomain } from './domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')

/** A change to the persistent definition, made and checked on a copy. */
export interface PreparedChange {
  /** the device as it is in the copy; absent: it is not there */
  device?: Device
  /** puts the copy in place, on disk before it counts. @throws VIR_ERR_SYSTEM_ERROR */
  commit(): void
}

/**
 * Prepares the addition of a device (qemuDomainAttachDeviceConfig).
 * @throws VIR_ERR_OPERATION_INVALID for what is there already, VIR_ERR_OPERATION_UNSUPPORTED for kinds that cannot be
 * added, as loadDevice and checkCompatible
 */
export function prepareAttach(domain: QemuDomain, xml: string): PreparedChange {
  const change = (def: DomainDef, context: QemuContext) => {
    const device = loadDevice(xml, def, context)
    const [, dev] = device
    validateAliases(def, dev)
    checkCompatible(def, device)
    const { attach } = rulesFor(device)
    if (!attach) throw unsupported('attach', device)
    attach(dev, def)
    return device
  }
  return prepareChange(domain, change, { isNew: true, check: true })
}

/**
 * Prepares the removal of the device that is described (qemuDomainDetachDeviceConfig).
 * @param inactive the definition of a running guest is not meant, whose devices have names of ours
 * @throws VIR_ERR_DEVICE_MISSING and others where there is none, VIR_ERR_OPERATION_UNSUPPORTED for kinds that cannot be
 * removed, as loadDevice; it is not checked
 */
export function prepareDetach(domain: QemuDomain, xml: string, inactive: boolean): PreparedChange {
  return prepareChange(domain, def =>
    detach(loadDevice(xml, domain.def, domain.context, { check: false, inactive }), def)
  )
}

/**
 * Prepares the removal of the device with that alias, which a definition has from its user
 * (qemuDomainDetachDeviceAliasLiveAndConfig).
 * @throws VIR_ERR_INTERNAL_ERROR where there is none, as prepareDetach
 */
export function prepareDetachAlias(domain: QemuDomain, alias: string): PreparedChange {
  return prepareChange(domain, def => detach(deviceWithAlias(def, alias), def))
}

/** The device of that alias. @throws VIR_ERR_INTERNAL_ERROR where there is none (virDomainDefFindDevice) */
export function deviceWithAlias({ devices }: DomainDef, alias: string): Device {
  for (const [kind, dev] of eachDevice(devices)) if (dev.alias === alias) return [kind, dev]
  throw failDomain('VIR_ERR_INTERNAL_ERROR', `no device found with alias ${alias}`)
}

/**
 * Prepares to put a device in the place of the one it is a new description of (qemuDomainUpdateDeviceConfig).
 * @param inactive as of prepareDetach
 * @throws VIR_ERR_INVALID_ARG and others where there is none, VIR_ERR_OPERATION_UNSUPPORTED for kinds that cannot be
 * changed, as loadDevice and checkCompatible
 */
export function prepareUpdate(domain: QemuDomain, xml: string, inactive: boolean): PreparedChange {
  return prepareChange(domain, def => {
    const device = loadDevice(xml, domain.def, domain.context, { inactive })
    const [kind, dev] = device
    const { noneToUpdate, findToUpdate } = rulesFor(device)
    if (!noneToUpdate) throw unsupported('update', device)
    const there = findToUpdate ? findToUpdate(dev, def) : findDevice(device, def, rulesFor(device))
    if (!there) throw noneToUpdate(dev)
    checkCompatible(def, device, there)
    const list = def.devices[kind] as AnyDevice[]
    list[list.indexOf(there)] = dev
    return device
  })
}

function detach(device: Device, def: DomainDef): undefined {
  const [kind, dev] = device
  const rules = rulesFor(device)
  if (!rules.noneToDetach) throw unsupported('detach', device)
  const there = findDevice(device, def, rules)
  if (!there) throw rules.noneToDetach(dev)
  const takeOut = rules.detach ?? qemuFamily(kind)?.unplug ?? leave(kind)
  takeOut(there, def)
}

const rulesFor = ([kind]: Device): ConfigRules<AnyDevice> => qemuFamily(kind)?.config ?? {}

/** The device of a definition that is meant by one described, by the rules of its family. */
export function findDevice(
  [kind, dev]: Device,
  def: DomainDef,
  { find }: Pick<ConfigRules<AnyDevice>, 'find'>
): AnyDevice | undefined {
  if (find) return find(dev, def)
  return (def.devices[kind] as AnyDevice[]).find(one => familyOf(kind).same?.(dev, one))
}

/** Families that are one kind of device to libvirt (VIR_DOMAIN_DEVICE_CHR). */
const CHARDEVS: readonly DeviceKind[] = ['serials', 'parallels', 'consoles', 'channels']

/** libvirt's name of a kind of device (virDomainDeviceType). */
export const deviceTypeName = (kind: DeviceKind): string => (CHARDEVS.includes(kind) ? 'chr' : familyOf(kind).element)

const unsupported = (verb: string, [kind]: Device) =>
  fail('VIR_ERR_OPERATION_UNSUPPORTED', `persistent ${verb} of device '${deviceTypeName(kind)}' is not supported`)

/** @param pass see completeDomain */
function prepareChange(
  domain: QemuDomain,
  change: (def: DomainDef, context: QemuContext) => Device | undefined,
  pass: { isNew?: boolean; check?: boolean } = { isNew: false }
): PreparedChange {
  const context = domain.definitions.newContext ?? domain.context
  const def = copyOf(domain.newDef!, context)
  const device = change(def, context)
  completeDomain(def, context, pass)
  return { ...(device && { device }), commit: () => domain.change({ config: true }, () => def) }
}

/** A copy as the file has it (virDomainObjCopyPersistentDef). */
function copyOf(def: DomainDef, context: QemuContext): DomainDef {
  const copy = parseDomain(formatDomain(def, { secure: true }))
  completeDomain(copy, context, { isNew: false })
  return copy
}
