// Disks of a guest that has come to stand still. QEMU leaves them to the source until the CPUs run (late-block-activate),
// and one before 10.0 ends itself, and the guest with it, when it is to write to them or to give them away before that: by
// a save, a snapshot, the next migration.
//
// Differs from libvirt: its guest is lost then.
import { join } from 'node:path'
import type { QmpDrive } from '../device/disk/media.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { withSocketDir } from '../process/start.ts'

/**
 * Has QEMU take the disks over, as it does when CPUs are to run.
 * @throws VIR_ERR_INTERNAL_ERROR with QEMU's words where somebody else has one
 */
export async function takeDisks(domain: QemuDomain): Promise<void> {
  const { qmp, context } = domain
  if (context.qemu.has('blockdev-set-active')) {
    await qmp.execute('blockdev-set-active', { active: true })
    return
  }
  const drives = await qmp.execute<QmpDrive[]>('query-block')
  const nodes = drives.flatMap(({ inserted }) => inserted?.['node-name'] ?? [])
  if (nodes.length > 0) await showOnce(domain, nodes)
}

/** What an NBD server shows is taken over for that, with all that it stands on. */
async function showOnce(domain: QemuDomain, nodes: readonly string[]): Promise<void> {
  const { qmp } = domain
  const path = join(withSocketDir(domain).paths.socketDir, 'nbd.sock')
  await qmp.execute('nbd-server-start', { addr: { type: 'unix', data: { path } } })
  try {
    for (const node of nodes) {
      await qmp.execute('block-export-add', { type: 'nbd', id: `libvirt-take-${node}`, 'node-name': node })
    }
  } finally {
    await qmp.execute('nbd-server-stop')
  }
}
