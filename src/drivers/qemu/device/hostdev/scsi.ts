// SCSI host devices: units of an adapter, of an iSCSI target, or of the kernel's vhost target.
import { existsSync } from 'node:fs'
import type { HostdevDef } from '../../../../conf/devices/hostdev.ts'
import type { HostdevSourceOf } from '../../../../conf/devices/hostdev-source.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { StorageSource } from '../../../../conf/storage/source.ts'
import { scsiGenericPath } from '../../../../host/devices.ts'
import { storageIds } from '../../block/node-names.ts'
import { addStorageObjects } from '../../block/nodes.ts'
import { protocolProps } from '../../block/protocol.ts'
import type { Command } from '../../command/command.ts'
import { addressProps, virtioProps } from '../../parts/address.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const VHOST_SCSI = '/dev/vhost-scsi'

/** -blockdev and -device of a unit that QEMU talks to itself (qemuBuildHostdevSCSICommandLine). */
export function scsiHostdevArgs(
  command: Command,
  dev: HostdevDef,
  { from }: HostdevSourceOf<'scsi'>,
  bootindex?: number
): void {
  const node = `libvirt-${dev.backendIndex}-backend`
  const source: StorageSource =
    from.protocol === 'iscsi' ? { ...from, type: 'network' } : { type: 'block', path: scsiGenericPath(from) }
  const use = { readOnly: dev.readonly ?? false }
  const ids = { ...storageIds(source), storageNode: node, authSecret: `${node}-secret0` }
  const props = protocolProps(command, source, use, ids)
  addStorageObjects(command, source, ids)
  command.blockdev({ ...props, 'node-name': node, 'read-only': use.readOnly })
  command.device({ driver: 'scsi-generic', drive: node, id: dev.alias, bootindex, ...addressProps(command, dev) })
}

/** -device of a vhost target (qemuBuildSCSIVHostHostdevDevProps). */
export function vhostScsiArgs(command: Command, dev: HostdevDef, { from }: HostdevSourceOf<'scsi_host'>): void {
  if (!existsSync(VHOST_SCSI)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `vhost-scsi device file '${VHOST_SCSI}' cannot be found`)
  }
  const vhostFd = command.context.files.open(VHOST_SCSI)
  if (vhostFd === undefined) throw fail('VIR_ERR_SYSTEM_ERROR', `Failed to open ${VHOST_SCSI}`)
  command.device({
    ...virtioProps('vhost-scsi', dev.source.model, dev.address),
    wwpn: from.wwpn,
    vhostfd: String(vhostFd),
    id: dev.alias,
    ...addressProps(command, dev)
  })
}
