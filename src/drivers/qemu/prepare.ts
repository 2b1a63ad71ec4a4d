// What a start fills in: ports, socket paths, node names (qemuProcessPrepareDomain).
import type { DomainDef } from '../../conf/domain-def.ts'
import type { QemuContext } from './context.ts'

export function prepareDomain(def: DomainDef, context: QemuContext): void {
  let port = context.config.vncPortMin
  for (const dev of def.devices.graphics) {
    if (dev.type === 'vnc' && dev.autoport && dev.listens[0]?.type !== 'socket') dev.port = port++
  }
}
