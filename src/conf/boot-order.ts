// <boot order=…/> of devices against <boot dev=…/> of the OS: one of the two, each place once.
import { eachDeviceInfo } from './devices/index.ts'
import type { DomainDef } from './domain-def.ts'
import { errorsFrom } from './error.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Checks the order; without any, a full virtual machine boots from disk (virDomainDefBootOrderPostParse). */
export function bootOrder({ os, devices }: DomainDef): void {
  if (os.type !== 'hvm') return
  const orders = new Set<number>()
  for (const [, { boot }] of eachDeviceInfo(devices)) {
    if (!boot) continue
    if (orders.has(boot.order)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `boot order '${boot.order}' used for more than one device`)
    }
    orders.add(boot.order)
  }
  if (os.bootDevices.length > 0 && orders.size > 0) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'per-device boot elements cannot be used together with os/boot elements')
  }
  if (os.bootDevices.length === 0 && orders.size === 0) os.bootDevices.push({ dev: 'hd' })
}
