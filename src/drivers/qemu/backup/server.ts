// The NBD server in QEMU that pulled backups are fetched from.
import { errorsFrom } from '../../../conf/error.ts'
import type { BackupDef, BackupServer } from '../../../conf/moment/backup.ts'
import { ReceivedFile } from '../../../host/received-files.ts'
import { effectiveNode } from '../block/nodes.ts'
import { socketAddress } from '../block/protocol.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { StoredDisk } from '../process/backup-end.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const TLS_ALIAS = 'objlibvirt_backup_tls0'
/** Name of a client's socket in QEMU. */
const FD_NAME = 'libvirt-backup-nbd'

/** Settles the place it listens at. @throws VIR_ERR_OPERATION_UNSUPPORTED without a port (qemuBackupPrepare) */
export function prepareServer(def: BackupDef): void {
  if (def.mode !== 'pull') return
  def.server ??= { transport: 'tcp', name: 'localhost' }
  if (def.server.transport === 'tcp' && def.server.port === undefined)
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', '<domainbackup> must specify TCP port for now')
  if (def.tls) def.tlsAlias = TLS_ALIAS
}

/**
 * Starts it; nothing of it is left where it cannot be.
 * @throws VIR_ERR_INVALID_ARG for a client's socket that is none, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
export async function startServer(domain: QemuDomain, { server, tlsAlias }: BackupDef): Promise<void> {
  const { qmp, context } = domain
  const { backupTlsX509CertDir: dir, backupTlsX509Verify: verify } = context.config
  const socket = server?.transport === 'fd' ? openSocket(domain, server.fdgroup) : undefined
  const undo: (() => Promise<unknown>)[] = []
  try {
    if (tlsAlias !== undefined) {
      const props = { 'qom-type': 'tls-creds-x509', id: tlsAlias, dir, endpoint: 'server', 'verify-peer': verify }
      await qmp.execute('object-add', props)
      undo.push(() => qmp.execute('object-del', { id: tlsAlias }))
    }
    if (socket) {
      await qmp.passFile(FD_NAME, socket)
      undo.push(() => qmp.execute('closefd', { fdname: FD_NAME }))
    }
    await qmp.execute('nbd-server-start', {
      addr: addressOf(server!),
      ...(tlsAlias !== undefined && { 'tls-creds': tlsAlias })
    })
  } catch (error) {
    for (const one of undo.reverse()) await one().catch(() => undefined)
    throw error
  }
}

/** The one file of a group; the client keeps it. @throws VIR_ERR_INVALID_ARG */
function openSocket({ fileGroups }: QemuDomain, name: string): ReceivedFile {
  const wrong = (what: string) => fail('VIR_ERR_INVALID_ARG', `file descriptor group '${name}' ${what}`)
  const group = fileGroups.get(name)
  if (!group) throw wrong('was not associated with the domain')
  const [file, ...more] = group.files
  if (!file || more.length > 0) throw wrong('must contain only 1 file descriptor for NBD server')
  return new ReceivedFile(file.from, file.back)
}

/** QEMU's SocketAddressLegacy. */
function addressOf(server: BackupServer): object {
  if (server.transport === 'fd') return { type: 'fd', data: { str: FD_NAME } }
  const { type, ...data } = socketAddress(server)
  return { type, data }
}

/** Shows scratch images, each under its name and with its bitmap of changes (qemuBackupBeginPullExportDisks). */
export async function exportDisks({ qmp, context }: QemuDomain, disks: readonly StoredDisk[]): Promise<void> {
  for (const disk of disks) {
    const node = effectiveNode(disk.store, context.qemu)
    disk.exportName ??= disk.name
    await qmp.execute('block-export-add', {
      type: 'nbd',
      id: `libvirt-nbd-${node}`,
      'node-name': node,
      writable: false,
      name: disk.exportName,
      ...(disk.backupMode === 'incremental' && { bitmaps: [disk.exportBitmap!] })
    })
  }
}

/** Stops it, and with it all that is shown; it may be gone already. */
export async function stopServer({ qmp, log }: QemuDomain, { mode, server, tlsAlias }: BackupDef): Promise<void> {
  if (mode !== 'pull') return
  const left = (err: unknown) => log.debug({ err }, 'the NBD server of a backup is gone already')
  await qmp.execute('nbd-server-stop').catch(left)
  if (server?.transport === 'fd') await qmp.execute('closefd', { fdname: FD_NAME }).catch(left)
  if (tlsAlias !== undefined) await qmp.execute('object-del', { id: tlsAlias }).catch(left)
}
