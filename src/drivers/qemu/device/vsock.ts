// <vsock>: QEMU's defaults, checks and arguments.
import type { VsockDef } from '../../../conf/devices/vsock.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'
import { addressProps, virtioProps } from '../parts/address.ts'
import type { Builder } from '../parts/builder.ts'
import { freely, joinAlone, leave, missing, type QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuVsock: QemuFamily<VsockDef> = {
  postParse(dev) {
    dev.model ??= 'virtio'
  },
  validate(_dev, _def, { qemu }) {
    if (qemu.has('vhost-vsock')) return
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'vsock device is not supported with this QEMU binary')
  },
  prepare: prepareVsock,
  add: addVsock,
  unplug: leave('vsocks'),
  config: {
    attach: joinAlone('vsocks', 'domain already has a vsock device'),
    noneToDetach: missing('matching vsock device not found', 'VIR_ERR_OPERATION_FAILED')
  },
  live: {
    attach(_dev, { def }) {
      if (def.devices.vsocks.length === 0) return
      throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'the domain already has a vsock device')
    },
    detach: freely,
    noneToDetach: missing('matching vsock device not found')
  }
}

/** Context ids below are the hypervisor's and the host's own; the highest means any. */
const MIN_CID = 3
const MAX_CID = 0xffff_fffe
export const CID_RANGE = { min: MIN_CID, max: MAX_CID }

/**
 * Chooses the context id of a guest that leaves it to us: one that follows from the guest's uuid, so that it is the
 * same at every start. The kernel refuses an id another guest has.
 */
function prepareVsock({ cid }: VsockDef, { uuid }: DomainDef, { pretend }: QemuContext): void {
  if (pretend || !cid?.auto) return
  const seed = Number.parseInt(uuid.slice(0, 8), 16)
  cid.address ??= MIN_CID + (seed % (MAX_CID - MIN_CID + 1))
}

const VHOST_DEVICE = '/dev/vhost-vsock'

/** The opened vhost device; a command line nothing is started from shows that it is not opened. */
function passVhost(to: Builder, { alias }: VsockDef): string {
  if (to.context.pretend) return '-1'
  const fd = to.fd({ name: `vhostfd-${alias}`, path: VHOST_DEVICE })
  if (fd === undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'unable to open vhost-vsock device')
  return fd
}

function addVsock(to: Builder, dev: VsockDef): void {
  to.device({
    ...virtioProps('vhost-vsock', dev.model, dev.address, dev.driver),
    id: dev.alias,
    'guest-cid': dev.cid?.address ?? 0,
    vhostfd: passVhost(to, dev),
    ...addressProps(to, dev)
  })
}
