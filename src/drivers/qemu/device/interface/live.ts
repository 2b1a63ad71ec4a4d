// Network cards of a guest that runs (qemuDomainAttachNetDevice, qemuDomainChangeNet).
import type { InterfaceDef } from '../../../../conf/devices/interface.ts'
import { networkHostdev } from '../../../../conf/devices/interface-hostdev.ts'
import type { InterfaceType } from '../../../../conf/devices/interface-source.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { checkVdpa } from '../../parts/vdpa.ts'
import { freely, type LiveRules } from '../family.ts'
import { liveHostdev } from '../hostdev/live.ts'
import { changeInterface } from './change.ts'
import { actualSource } from './network-port.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Types that only a start can connect. */
const STAY_OUT: readonly InterfaceType[] = ['server', 'client', 'mcast', 'internal', 'udp', 'null', 'vds']

export const liveInterface: LiveRules<InterfaceDef> = {
  async attach(dev, guest) {
    const onHost = networkHostdev(dev)
    if (onHost) await liveHostdev.attach?.(onHost, guest)
    const source = actualSource(dev)
    const { type } = source
    // before memory is locked for it
    if (source.type === 'vdpa') checkVdpa(source.dev)
    if (!STAY_OUT.includes(type)) return
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', `hotplug of interface type of ${type} is not implemented yet`)
  },
  prepare(dev, guest) {
    const onHost = networkHostdev(dev)
    if (onHost) liveHostdev.prepare?.(onHost, guest)
  },
  detach: freely,
  update: changeInterface
}
