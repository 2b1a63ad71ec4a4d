// What a start fills in: ports, socket paths, node names (qemuProcessPrepareDomain).
import type { DomainDef } from '../../conf/domain-def.ts'
import { prepareChannels } from './command/chardev.ts'
import { prepareChardevSource } from './command/chardev-source.ts'

import { prepareDisks } from './command/disk.ts'
import { alignMemory } from './command/memory-hotplug.ts'
import type { QemuContext } from './context.ts'
import { fillFirmware } from './firmware.ts'
import { makeNvram } from './firmware-nvram.ts'
import { prepareGraphics } from './prepare-graphics.ts'
import { prepareVideo } from './prepare-video.ts'

/** libvirt's steps, in its order. */
const STEPS: ((def: DomainDef, context: QemuContext) => void)[] = [
  prepareGraphics,
  prepareDisks,
  prepareChardevs,
  prepareVideo,
  fillFirmware,
  (def, { pretend }) => {
    if (!pretend) makeNvram(def)
  },
  alignMemory,
  ({ devices }, { paths }) => prepareChannels(devices.channels, paths)
]

export function prepareDomain(def: DomainDef, context: QemuContext): void {
  for (const step of STEPS) step(def, context)
}

/** Every character device backend of a definition, with what libvirt prepares alike. */
function prepareChardevs({ devices }: DomainDef, { config }: QemuContext): void {
  const { serials, parallels, consoles, channels, rngs } = devices
  for (const { source } of [...serials, ...parallels, ...consoles, ...channels]) prepareChardevSource(source, config)
  for (const { backend } of rngs) if (backend.model === 'egd') prepareChardevSource(backend.source, config)
}
