// Fit of one device into a definition, beyond what it demands by itself (virDomainDefCompatibleDevice).
import type { Device } from './device-xml.ts'
import { type AnyDevice, eachDeviceInfo, familyOf } from './devices/index.ts'
import type { MemoryDef } from './devices/memory.ts'
import { hasUsb } from './devices/redirdev.ts'
import type { DomainDef } from './domain-def.ts'
import { errorsFrom } from './error.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/**
 * @param replaced the device of the definition it takes the place of; absent: it comes in addition
 * @throws VIR_ERR_CONFIG_UNSUPPORTED where there is no USB for it, its boot order is taken, or its memory is too much
 */
export function checkCompatible(def: DomainDef, [kind, dev]: Device, replaced?: AnyDevice): void {
  if (familyOf(kind).isUsb?.(dev) && !hasUsb(def)) {
    throw unsupported('Device configuration is not compatible: Domain has no USB bus support')
  }
  if (dev.boot) checkBootOrder(def, dev.boot.order, replaced)
  if (kind === 'memories') checkMemory(def, dev as MemoryDef, replaced === undefined)
}

function checkBootOrder({ os, devices }: DomainDef, order: number, replaced: AnyDevice | undefined): void {
  if (os.bootDevices.length > 0) {
    throw unsupported('per-device boot elements cannot be used together with os/boot elements')
  }
  for (const [, other] of eachDeviceInfo(devices)) {
    if (other === replaced || other.boot?.order !== order) continue
    throw unsupported(`boot order ${order} is already used by another device`)
  }
}

function checkMemory({ maxMemory, memoryKiB }: DomainDef, { target }: MemoryDef, isMore: boolean): void {
  if (!maxMemory) throw unsupported("cannot use/hotplug a memory device when domain 'maxMemory' is not defined")
  if (!isMore || memoryKiB + target.sizeKiB <= maxMemory.sizeKiB) return
  throw unsupported(
    `Attaching memory device with size '${target.sizeKiB}' would exceed domain's maxMemory config size '${maxMemory.sizeKiB}'`
  )
}
