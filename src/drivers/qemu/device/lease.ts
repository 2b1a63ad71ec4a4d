// <lease>: locks of a definition. QEMU knows nothing of them.
import type { LeaseDef } from '../../../conf/devices/lease.ts'
import { freely, joinOnce, missing, type QemuFamily } from './family.ts'

const named = ({ key, lockspace = '<null>' }: LeaseDef) => `Lease ${key} in lockspace ${lockspace}`

export const qemuLease: QemuFamily<LeaseDef> = {
  config: {
    attach: joinOnce('leases', dev => `${named(dev)} already exists`),
    noneToDetach: missing(dev => `${named(dev)} does not exist`)
  },
  live: {
    attach: freely,
    noneToDetach: missing(dev => `${named(dev)} does not exist`, 'VIR_ERR_INVALID_ARG'),
    detach: freely
  }
}
