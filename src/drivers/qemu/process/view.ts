// A confined QEMU's own view of the host's files (qemu_namespace.c), and the list of devices of its control group
// (qemu_cgroup.c): what it has at its start, and what it gets and loses later.
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { errorsFrom } from '../../../conf/error.ts'
import { allowDevices, denyDevices, devicesGroup, limitDevices } from '../../../host/cgroup-devices.ts'
import {
  admitPaths,
  checkMountViews,
  dismissPaths,
  type MountView,
  planView,
  removeView,
  stageView,
  type Viewer,
  viewArgv
} from '../../../host/mount-view.ts'
import { ownerIds } from '../../../host/owner.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { Starting } from './needs/need.ts'
import { givenPaths, hiddenDirectories, nodesOf, viewPaths } from './view-paths.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Major number of pseudo-terminals. */
const TERMINAL = 'c 136:*'

const stagingOf = ({ root }: QemuDomain) => join(root.dir, 'view')

/**
 * Makes ready what a QEMU that is to be confined sees, of all that is there by now.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for a QEMU of root, and where views cannot be made
 */
export function prepareView({ domain, context }: Starting): void {
  if (!domain.confine) return
  const { running, root } = domain
  const passer = ownerIds(running.owner)
  if (!passer || passer.uid === 0) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'QEMU cannot be confined: root would pass all the same, it takes a user')
  }
  checkMountViews()
  const paths = viewPaths(domain, context)
  running.view = planView({ staging: stagingOf(domain), hidden: hiddenDirectories(root, context), passer, paths })
  domain.save()
  stageView(running.view, paths)
}

/** Takes away what a view was made of. */
export function removeGuestView(domain: QemuDomain): void {
  if (domain.run?.view) removeView(domain.run.view.staging)
}

/** Words before QEMU's that confine it; none where it is not to be. */
export const confiningArgv = ({ running: { view }, def }: QemuDomain): string[] =>
  view ? viewArgv(view, { core: def.dumpCore === true }) : []

/** Temporary files of a QEMU that is confined go where its sockets are. */
export const confinedEnvironment = ({ running: { view }, root }: QemuDomain): Record<string, string> =>
  view ? { TMPDIR: root.qemuDir } : {}

/** Limits the devices QEMU may open, once it is in groups of its own (qemuSetupDevicesCgroup). */
export async function limitGuestDevices(domain: QemuDomain): Promise<void> {
  const { view, cgroups } = domain.running
  const group = view && devicesGroup(cgroups)
  if (!group) return
  const helped = domain.def.devices.disks.some(({ source }) => source.reservations) ? ['/dev/mapper/control'] : []
  await limitDevices(group, [...viewPaths(domain, domain.context), ...helped, '/dev/ptmx'], [TERMINAL])
}

/**
 * Has QEMU see files of the host that it is about to open, and what has been made for it since its start.
 * @throws VIR_ERR_INTERNAL_ERROR, VIR_ERR_SYSTEM_ERROR
 */
export async function admitToView(domain: QemuDomain, paths: readonly string[]): Promise<void> {
  await withView(domain, async (view, viewer) => {
    const container = paths.some(path => path.startsWith('/dev/vfio/')) ? ['/dev/vfio/vfio'] : []
    const all = [...container, ...paths, ...givenPaths(domain, domain.context)]
    const group = devicesGroup(domain.running.cgroups)
    if (group) await allowDevices(group, all)
    await admitPaths(view, viewer, all, () => domain.save())
  })
}

/** Hides files from QEMU that it has closed; what it still has open, for another of its devices, stays. Failures are logged. */
export async function dismissFromView(domain: QemuDomain, paths: readonly string[]): Promise<void> {
  await withView(domain, async (view, { pid }) => {
    const kept = new Set(nodesOf(domain.def))
    const gone = paths.filter(path => !kept.has(path) && !isOpen(pid, path))
    await dismissPaths(view, pid, gone)
    const group = devicesGroup(domain.running.cgroups)
    if (group) await denyDevices(group, gone)
  }).catch(error => domain.log.warn({ err: error, paths }, 'QEMU may still see files that it has closed'))
}

/** One change at a time, of a QEMU that runs confined. */
async function withView(domain: QemuDomain, work: (view: MountView, viewer: Viewer) => Promise<void>): Promise<void> {
  const { run } = domain
  const passer = run && ownerIds(run.owner)
  if (!run?.view || !run.process || !passer) return
  const { view, process: qemu } = run
  const done = run.viewTurn.then(() => work(view, { pid: qemu.pid, passer }))
  run.viewTurn = done.catch(() => undefined)
  return done
}

/** True for a file that a process has open. */
function isOpen(pid: number, path: string): boolean {
  const wanted = statSync(path, { throwIfNoEntry: false })
  return (
    wanted !== undefined &&
    readdirSync(`/proc/${pid}/fd`).some(fd => {
      const about = statSync(`/proc/${pid}/fd/${fd}`, { throwIfNoEntry: false })
      return about?.dev === wanted.dev && about.ino === wanted.ino
    })
  )
}
