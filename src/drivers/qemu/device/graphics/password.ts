// Passwords of VNC and Spice servers: given to QEMU over its monitor, never on its command line.
import { isDeepStrictEqual } from 'node:util'
import type { GraphicsDef } from '../../../../conf/devices/graphics.ts'
import type { QmpMonitor } from '../../monitor/qmp.ts'

/** Sets a server's password and when it expires, if it has one (qemuDomainChangeGraphicsPasswords). */
export async function setGraphicsPassword(dev: GraphicsDef, qmp: QmpMonitor, before?: GraphicsDef): Promise<void> {
  if ((dev.type !== 'vnc' && dev.type !== 'spice') || !dev.password) return
  if (before?.type === dev.type && isDeepStrictEqual(before.password, dev.password)) return
  const { passwd, validTo, connected } = dev.password
  const isOver = passwd === '' || (validTo !== undefined && validTo <= Date.now() / 1000)
  await qmp.execute('set_password', { protocol: dev.type, password: passwd, ...(connected && { connected }) })
  await qmp.execute('expire_password', { protocol: dev.type, time: isOver ? 'now' : String(validTo ?? 'never') })
}
