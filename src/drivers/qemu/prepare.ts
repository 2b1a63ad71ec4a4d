// What a start fills in: ports, socket paths, node names (qemuProcessPrepareDomain).
import type { DomainDef } from '../../conf/domain-def.ts'
import { prepareChannels } from './command/chardev.ts'
import { prepareChardevSource } from './command/chardev-source.ts'

import { prepareDisks } from './command/disk.ts'
import { alignMemory } from './command/memory-hotplug.ts'
import { refuseAutoPlacement } from './command/memory-validate.ts'
import { prepareShmems } from './command/shmem.ts'
import { prepareVsocks } from './command/vsock.ts'
import type { QemuContext } from './context.ts'
import { updateGuestCpu } from './cpu/guest.ts'
import { fillFirmware } from './firmware.ts'
import { checkScsiUnits, prepareHostdevs } from './hostdev-prepare.ts'
import { prepareGraphics } from './prepare-graphics.ts'
import { prepareVideo } from './prepare-video.ts'
import { prepareFilesystems } from './virtiofsd.ts'

/** libvirt's steps, in its order. */
const STEPS: ((def: DomainDef, context: QemuContext) => void)[] = [
  refuseAutoPlacement,
  prepareGraphics,
  prepareDisks,
  prepareHostdevs,
  prepareChardevs,
  prepareVideo,
  prepareFilesystems,
  fillFirmware,
  alignMemory,
  ({ devices }, { paths }) => prepareChannels(devices.channels, paths),
  updateGuestCpu,
  ({ devices }) => prepareShmems(devices.shmems),
  (def, { pretend }) => {
    if (!pretend) prepareVsocks(def)
  },
  checkScsiUnits
]

export function prepareDomain(def: DomainDef, context: QemuContext): void {
  for (const step of STEPS) step(def, context)
}

/** Every character device backend of a definition, with what libvirt prepares alike. */
function prepareChardevs({ devices }: DomainDef, { config }: QemuContext): void {
  const { serials, parallels, consoles, channels, redirdevs, rngs, smartcards } = devices
  const sources = [
    ...[...serials, ...parallels, ...consoles, ...channels, ...redirdevs].map(({ source }) => source),
    ...rngs.flatMap(({ backend }) => (backend.model === 'egd' ? [backend.source] : [])),
    ...smartcards.flatMap(({ card }) => (card.mode === 'passthrough' ? [card.source] : []))
  ]
  for (const source of sources) prepareChardevSource(source, config)
}
