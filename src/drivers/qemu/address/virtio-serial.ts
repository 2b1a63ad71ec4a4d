// Ports of virtio-serial controllers: port 0 is for the console only, channels begin at 1.
import type { DomainDef } from '../../../conf/domain-def.ts'

export function assignVirtioSerialAddresses({ devices }: DomainDef): void {
  const onBus = [...devices.consoles, ...devices.channels].filter(({ target }) => target?.type === 'virtio')
  const used = new Set(
    onBus.flatMap(({ address }) =>
      address?.type === 'virtio-serial' && address.port > 0 ? [`${address.controller}:${address.port}`] : []
    )
  )
  for (const dev of onBus) {
    const isConsole = (devices.consoles as unknown[]).includes(dev)
    if (dev.address?.type === 'virtio-serial' && (dev.address.port > 0 || isConsole)) continue
    const controller = dev.address?.type === 'virtio-serial' ? dev.address.controller : 0
    let port = isConsole ? 0 : 1
    while (used.has(`${controller}:${port}`)) port++
    used.add(`${controller}:${port}`)
    dev.address = { type: 'virtio-serial', controller, bus: 0, port }
  }
}
