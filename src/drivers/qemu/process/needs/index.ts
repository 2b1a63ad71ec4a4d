// The steps of a start, in their order; they are released in the opposite one.
import { rmSync, symlinkSync } from 'node:fs'
import { relative } from 'node:path'
import { letThrough, makeDirectoryFor, removeGivenDirectory, shut } from '../../../../host/owner.ts'
import { helperLog } from '../../../../state/root.ts'
import { removeLaunchSecurityFiles, writeLaunchSecurityFiles } from '../../command/launch-security.ts'
import { startReservationsHelper, stopReservationsHelper } from '../../device/disk/pr-helper.ts'
import { chooseTransientOverlays, makeTransientOverlays, removeTransientOverlays } from '../../device/disk/transient.ts'
import { startVirtiofsds, stopVirtiofsds } from '../../device/filesystem/virtiofsd.ts'
import { startDbusDaemon, stopDbusDaemon } from '../../device/graphics/dbus-daemon.ts'
import { generatedSockets } from '../../device/graphics/prepare.ts'
import { plugNetworks, unplugNetworks } from '../../device/interface/network-port.ts'
import { connectInterfaces, disconnectInterfaces, type TapOwner } from '../../device/interface/tap.ts'
import { memoryDirectories } from '../../device/memory/backend.ts'
import { startSwtpm, stopSwtpm } from '../../device/tpm/swtpm-start.ts'
import type { QemuDomain } from '../../domain/domain.ts'
import { taintByDefinition } from '../../domain/taint.ts'
import { giveNvram } from '../../firmware/nvram.ts'
import { masterKeyFile, writeMasterKey } from '../../parts/secret.ts'
import { makeMemoryDirectories, removeMemoryDirectories } from '../memory.ts'
import { registerGuest, unregisterGuest } from '../registration/index.ts'
import type { Starting, StartingWithCommand, Step } from './need.ts'

/** The guest as the owner of its network devices. */
const tapOwner = ({ def, root, run }: QemuDomain): TapOwner => ({ def, root: root.dir, ...run?.owner })

const logOf = ({ root }: QemuDomain, program: string) => helperLog(root, program)

const remove = (...paths: string[]) => {
  for (const path of paths) rmSync(path, { force: true })
}

export const STEPS: readonly Step[] = [
  {
    // first, to be released last: the programs that serve QEMU are in its groups
    name: 'registration with the host',
    attach: registerGuest,
    release: unregisterGuest
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
    name: 'transient disks',
    prepare: ({ domain }) => chooseTransientOverlays(domain.def),
    start: ({ domain }) => makeTransientOverlays(domain.def, domain.running.owner),
    release: ({ def }) => removeTransientOverlays(def)
  },
  {
    name: 'ports of networks',
    prepare: ({ domain, context }) => plugNetworks(domain.def, context),
    release: ({ def, context, log }) =>
      unplugNetworks(def, context, error => log.warn({ err: error }, 'a network still holds a port'))
  },
  {
    // found again by the mark they bear
    name: 'network devices',
    prepare: ({ domain }) => connectInterfaces(tapOwner(domain)),
    release: domain =>
      disconnectInterfaces(tapOwner(domain), error =>
        domain.log.warn({ err: error }, 'a network device could not be removed')
      )
  },
  {
    name: 'ways in',
    start: ({ domain }) => letThrough([domain.root.dir, domain.root.nvramDir], domain.running.owner),
    release: ({ root }) => shut([root.dir, root.nvramDir])
  },
  {
    name: 'UEFI variables',
    start: ({ domain }) => giveNvram(domain.def, domain.running.owner),
    release() {}
  },
  {
    name: 'memory directories',
    start: ({ domain, context }) =>
      makeMemoryDirectories(
        memoryDirectories({ def: domain.def, context, qemu: context.qemu }),
        context.paths,
        domain.running.owner
      ),
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
    release({ root, def }) {
      remove(root.monitorSocket, ...generatedSockets(def))
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
    name: 'persistent reservations',
    start: ({ domain, context }) =>
      startReservationsHelper(domain.def, context, logOf(domain, 'pr-helper'), domain.running.owner),
    release: ({ context }) => stopReservationsHelper(context)
  },
  {
    name: 'D-Bus',
    start: ({ domain, context }) =>
      startDbusDaemon(domain.def, context.paths, logOf(domain, 'dbus-daemon'), domain.running.owner),
    release: ({ context }) => stopDbusDaemon(context.paths)
  },
  {
    name: 'TPM',
    start: ({ domain, context }) => startSwtpm(domain.def, context, domain.running.owner),
    release: ({ context }) => stopSwtpm(context)
  },
  {
    name: 'shared directories',
    start: ({ domain, context }) =>
      startVirtiofsds(domain.def, context, alias => logOf(domain, `${alias}-virtiofsd`), domain.running.owner),
    release: ({ def, context }) => stopVirtiofsds(def, context)
  }
]

export async function prepareSteps(starting: Starting): Promise<void> {
  for (const step of STEPS) await step.prepare?.(starting)
}

export async function startSteps(starting: StartingWithCommand): Promise<void> {
  for (const step of STEPS) await step.start?.(starting)
}

export async function attachSteps(domain: QemuDomain): Promise<void> {
  for (const step of STEPS) await step.attach?.(domain, domain.process!)
}

/** Releases all; what one of them cannot undo is told in the log and keeps none of the others from it. */
export async function releaseSteps(domain: QemuDomain): Promise<void> {
  for (const step of [...STEPS].reverse()) {
    try {
      await step.release(domain)
    } catch (error) {
      domain.log.error({ err: error, step: step.name }, 'what a guest had of the host could not be released')
    }
  }
}
