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
import { addressProps, virtioProps } from '../../parts/address.ts'
import type { Builder } from '../../parts/builder.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const VHOST_SCSI = '/dev/vhost-scsi'

/** A unit that QEMU talks to itself (qemuBuildHostdevSCSICommandLine). */
export function addScsiHostdev(
  to: Builder,
  dev: HostdevDef,
  { from }: HostdevSourceOf<'scsi'>,
  bootindex?: number
): void {
  const node = `libvirt-${dev.backendIndex}-backend`
  const source: StorageSource =
    from.protocol === 'iscsi' ? { ...from, type: 'network' } : { type: 'block', path: scsiGenericPath(from) }
  const use = { readOnly: dev.readonly ?? false }
  const ids = { ...storageIds(source), storageNode: node, authSecret: `${node}-secret0` }
  const props = protocolProps(to, source, use, ids)
  addStorageObjects(to, source, ids)
  to.blockdev({ ...props, 'node-name': node, 'read-only': use.readOnly })
  to.device({ driver: 'scsi-generic', drive: node, id: dev.alias, bootindex, ...addressProps(to, dev) })
}

/** A vhost target (qemuBuildSCSIVHostHostdevDevProps). */
export function addVhostScsi(to: Builder, dev: HostdevDef, { from }: HostdevSourceOf<'scsi_host'>): void {
  if (!existsSync(VHOST_SCSI)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `vhost-scsi device file '${VHOST_SCSI}' cannot be found`)
  }
  const vhostfd = to.fd({ name: `vhostfd-${dev.alias}`, path: VHOST_SCSI })
  if (vhostfd === undefined) throw fail('VIR_ERR_SYSTEM_ERROR', `Failed to open ${VHOST_SCSI}`)
  to.device({
    ...virtioProps('vhost-scsi', dev.source.model, dev.address),
    wwpn: from.wwpn,
    vhostfd,
    id: dev.alias,
    ...addressProps(to, dev)
  })
}
