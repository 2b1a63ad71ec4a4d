// What a start fills in: ports, socket paths, node names (qemuProcessPrepareDomain).
import type { ChardevSource } from '../../conf/devices/chardev-source.ts'
import type { DomainDef } from '../../conf/domain-def.ts'
import { prepareChannels } from './command/chardev.ts'
import { prepareChardevSource } from './command/chardev-source.ts'
import { alignMemory } from './command/memory-hotplug.ts'
import type { QemuContext } from './context.ts'

/** Every character device backend of a definition, with what libvirt prepares alike. */
function chardevSources({ devices }: DomainDef): ChardevSource[] {
  const { serials, parallels, consoles, channels, rngs } = devices
  return [
    ...[...serials, ...parallels, ...consoles, ...channels].map(({ source }) => source),
    ...rngs.flatMap(({ backend }) => (backend.model === 'egd' ? [backend.source] : []))
  ]
}

export function prepareDomain(def: DomainDef, context: QemuContext): void {
  alignMemory(def)
  for (const source of chardevSources(def)) prepareChardevSource(source, context.config)
  prepareChannels(def.devices.channels, context.paths)
  let port = context.config.vncPortMin
  for (const dev of def.devices.graphics) {
    if (dev.type === 'vnc' && dev.autoport && dev.listens[0]?.type !== 'socket') dev.port = port++
  }
}
