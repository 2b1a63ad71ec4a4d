// The needs of a run, in the order of its start; they are released in the opposite one.
import { rmSync, symlinkSync } from 'node:fs'
import { relative } from 'node:path'
import { type AnyDevice, type DeviceKind, eachDevice } from '../../../../conf/devices/index.ts'
import { VirError } from '../../../../conf/error.ts'
import type { Refuse } from '../../../../conf/refuse.ts'
import { removeLibvirtPidFile, writeLibvirtPidFile } from '../../../../host/libvirt-pid-file.ts'
import { letThrough, makeDirectoryFor, removeGivenDirectory, shut } from '../../../../host/owner.ts'
import { removeLaunchSecurityFiles, writeLaunchSecurityFiles } from '../../command/launch-security.ts'
import { stopReservationsHelper } from '../../device/disk/pr-helper.ts'
import { chooseTransientOverlays } from '../../device/disk/transient.ts'
import type { HostGuest } from '../../device/family.ts'
import { qemuFamily } from '../../device/index.ts'
import { actualInterface } from '../../device/interface/network-port.ts'
import { isHelped, removeStrayDevices } from '../../device/interface/tap.ts'
import { machineMemoryDirectories } from '../../device/memory/backend.ts'
import { makeMemoryDirectory, removeMemoryDirectories } from '../../device/memory/files.ts'
import type { QemuDomain } from '../../domain/domain.ts'
import { hostGuest } from '../../domain/host-guest.ts'
import { taintByDefinition } from '../../domain/taint.ts'
import { giveNvram } from '../../firmware/nvram.ts'
import { masterKeyFile, writeMasterKey } from '../../parts/secret.ts'
import { admit, dismissAll } from '../access.ts'
import { pathsOfDefinition } from '../access-paths.ts'
import { endBackup } from '../backup-end.ts'
import { registerGuest, unregisterGuest } from '../registration/index.ts'
import { asksForCounters, asksForLimits } from '../tuning/demands.ts'
import { limitGuestDevices, prepareView, removeGuestView } from '../view.ts'
import type { Need, Starting, StartingWithCommand } from './need.ts'

/** Makes the host's end of the devices of a list. */
const taking =
  (kind: DeviceKind) =>
  async ({ domain, context }: Starting): Promise<void> => {
    const guest = hostGuest(domain, context)
    const host = qemuFamily(kind)?.host
    for (const dev of guest.def.devices[kind]) await host?.take(dev as AnyDevice, guest)
  }

/** Undoes it; what cannot be undone for one device is told in the log and keeps none of the others from it. */
const giving =
  (kind: DeviceKind) =>
  async (domain: QemuDomain): Promise<void> => {
    const guest = hostGuest(domain)
    const host = qemuFamily(kind)?.host
    for (const dev of guest.def.devices[kind] as AnyDevice[]) {
      try {
        await host?.give(dev, guest)
      } catch (error) {
        domain.log.error({ err: error, device: dev.alias }, 'what a device had of the host could not be released')
      }
    }
  }

const remove = (...paths: string[]) => {
  for (const path of paths) rmSync(path, { force: true })
}

/**
 * Makes the checks of what a start makes for devices.
 * @throws what `refuse` throws
 */
export async function checkHostEnds(guest: HostGuest, refuse: Refuse): Promise<void> {
  for (const [kind, dev] of eachDevice(guest.def.devices)) {
    try {
      await qemuFamily(kind)?.host?.check?.(dev, guest)
    } catch (error) {
      if (!(error instanceof VirError)) throw error
      refuse(error)
    }
  }
}

export const NEEDS: readonly Need[] = [
  {
    // first, to be released last: the programs that serve QEMU are in its groups
    name: 'registration with the host',
    attach: registerGuest,
    release: unregisterGuest
  },
  {
    name: "libvirt's file of its process",
    attach: ({ name }, { pid }) => writeLibvirtPidFile(name, pid),
    release: ({ name, run }) => run?.process && removeLibvirtPidFile(name, run.process.pid)
  },
  {
    name: 'limits',
    async attach(domain) {
      if (asksForLimits(domain.def)) await (await import('../tuning/limits.ts')).limitGuest(domain)
    },
    // they go with the control groups
    release() {}
  },
  {
    name: 'performance counters',
    async attach(domain) {
      if (asksForCounters(domain.def)) await (await import('../tuning/perf.ts')).startCounters(domain)
    },
    release: ({ run }) => run?.counters?.close()
  },
  {
    // claimed before there is a status; nobody waits for the aggregator to hear that the guest is gone
    name: 'claims',
    release: ({ claims }) => void claims?.release()
  },
  {
    name: 'taints',
    prepare: ({ domain }) => taintByDefinition(domain),
    release() {}
  },
  {
    // the overlay of each is removed with its disk
    name: 'transient disks',
    prepare: ({ domain: { def, running } }) => chooseTransientOverlays(def, () => ++running.nodeIndex),
    release: giving('disks')
  },
  {
    name: 'networks',
    prepare: taking('interfaces'),
    async attach(domain, qemu) {
      const { def, context } = domain
      if (!def.devices.interfaces.some(dev => isHelped(actualInterface(dev), context))) return
      await (await import('../../device/interface/bridge-helper.ts')).nameDevices(hostGuest(domain), qemu)
    },
    async release(domain) {
      await giving('interfaces')(domain)
      await removeStrayDevices(hostGuest(domain))
    }
  },
  {
    name: 'ways in',
    start: ({ domain }) => letThrough([domain.root.dir, domain.root.nvramDir], domain.running.owner),
    release: ({ root }) => shut([root.dir, root.nvramDir])
  },
  {
    name: 'UEFI variables',
    start({ domain: { def, running } }) {
      // of a user of its own it is a file like others
      if (!running.ownership) giveNvram(def, running.owner)
    },
    release() {}
  },
  {
    name: 'memory directories',
    async start(starting) {
      const { domain, context } = starting
      for (const dir of machineMemoryDirectories({ def: domain.def, context }))
        makeMemoryDirectory(dir, context.paths, domain.running.owner)
      await taking('memories')(starting)
    },
    release: ({ context }) => removeMemoryDirectories(context.paths)
  },
  {
    name: 'channel directory',
    start: ({ domain }) => makeDirectoryFor(domain.root.channelDir, domain.running.owner),
    release: ({ root }) => removeGivenDirectory(root.channelDir)
  },
  {
    name: "QEMU's sockets",
    start({ domain, context }) {
      const { root } = domain
      remove(root.monitorSocket)
      const { socketDir, monitorSocket } = context.paths
      if (monitorSocket === root.monitorSocket) return
      makeDirectoryFor(socketDir, domain.running.owner)
      symlinkSync(relative(root.dir, monitorSocket), root.monitorSocket)
    },
    release({ root }) {
      remove(root.monitorSocket, root.output)
      removeGivenDirectory(root.qemuDir)
    }
  },
  {
    name: 'master key',
    start: ({ domain, context, command }) =>
      writeMasterKey(masterKeyFile(context.paths.libDir), command.masterKey, domain.running.owner),
    release: ({ context }) => remove(masterKeyFile(context.paths.libDir))
  },
  {
    name: 'launch security',
    start: ({ domain, context }) => writeLaunchSecurityFiles(domain.def, context.paths.libDir, domain.running.owner),
    release: ({ context }) => removeLaunchSecurityFiles(context.paths.libDir)
  },
  {
    name: 'disks',
    start: taking('disks'),
    release: ({ context }) => stopReservationsHelper(context)
  },
  {
    name: 'owners of files',
    start: ({ domain }) => admit(domain, pathsOfDefinition(domain.def)),
    release: dismissAll
  },
  { name: 'displays', start: taking('graphics'), release: giving('graphics') },
  { name: 'TPM', start: taking('tpms'), release: giving('tpms') },
  { name: 'shared directories', start: taking('filesystems'), release: giving('filesystems') },
  {
    // it ends with the guest
    name: 'backup',
    release: domain => endBackup(domain, 'canceled')
  },
  {
    // last, as it has all that was made before
    name: "QEMU's view of the host",
    start: prepareView,
    attach: limitGuestDevices,
    release: removeGuestView
  }
]

/** Completes the live definition. @throws the first failure */
export async function prepareNeeds(starting: Starting): Promise<void> {
  for (const need of NEEDS) await need.prepare?.(starting)
}

/** Makes all that QEMU will open. @throws the first failure */
export async function startNeeds(starting: StartingWithCommand): Promise<void> {
  for (const need of NEEDS) await need.start?.(starting)
}

/** Tells the host of QEMU's process, which is there. @throws the first failure */
export async function attachNeeds(domain: QemuDomain): Promise<void> {
  for (const need of NEEDS) await need.attach?.(domain, domain.process!)
}

/** Releases all; what one of them cannot undo is told in the log and keeps none of the others from it. */
export async function releaseNeeds(domain: QemuDomain): Promise<void> {
  for (const need of [...NEEDS].reverse()) {
    try {
      await need.release(domain)
    } catch (error) {
      domain.log.error({ err: error, need: need.name }, 'what a guest had of the host could not be released')
    }
  }
}
