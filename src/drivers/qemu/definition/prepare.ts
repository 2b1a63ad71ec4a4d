// Preparation of a definition for a start: ports, socket paths, node names are filled in (qemuProcessPrepareDomain).
import type { DomainDef } from '../../../conf/domain-def.ts'
import type { QemuContext } from '../context.ts'
import { updateGuestCpu } from '../cpu/guest.ts'
import { prepareChardevSource } from '../device/chardev/backend.ts'
import { prepareChannels } from '../device/chardev/chardev.ts'
import { prepareDisks } from '../device/disk/disk.ts'
import { prepareFilesystems } from '../device/filesystem/virtiofsd.ts'
import { prepareGraphics } from '../device/graphics/prepare.ts'
import { checkScsiUnits, prepareHostdevs } from '../device/hostdev/prepare.ts'
import { alignMemory } from '../device/memory/align.ts'
import { refuseAutoPlacement } from '../device/memory/validate.ts'
import { prepareShmems } from '../device/shmem.ts'
import { prepareVideo } from '../device/video-prepare.ts'
import { prepareVsocks } from '../device/vsock.ts'
import { fillFirmware } from '../firmware/choose.ts'

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

/** Fills into the definition of a guest that starts what only a running one has (qemuProcessPrepareDomain). */
export function prepareDomain(def: DomainDef, context: QemuContext): void {
  for (const step of STEPS) step(def, context)
}

/** Prepares the backends of all character devices, and of devices that have one too. */
function prepareChardevs({ devices }: DomainDef, { config }: QemuContext): void {
  const { serials, parallels, consoles, channels, redirdevs, rngs, smartcards } = devices
  const sources = [
    ...[...serials, ...parallels, ...consoles, ...channels, ...redirdevs].map(({ source }) => source),
    ...rngs.flatMap(({ backend }) => (backend.model === 'egd' ? [backend.source] : [])),
    ...smartcards.flatMap(({ card }) => (card.mode === 'passthrough' ? [card.source] : []))
  ]
  for (const source of sources) prepareChardevSource(source, config)
}
