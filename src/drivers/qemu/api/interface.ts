// Network interface statistics, from the host's side of the interface.
import { errorsFrom } from '../../../conf/error.ts'
import { hyper, text } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { interfaceStats } from '../stats/interface.ts'

const failDomain = errorsFrom('VIR_FROM_DOMAIN')
const method = methodFor<QemuDomain>()

export const interfaces = {
  /** Counters of one interface, by the host's name of it or its MAC address. */
  virDomainInterfaceStats: method({
    since: '0.3.2',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: { device: text() },
    ret: {
      rx_bytes: hyper('bytes'),
      rx_packets: hyper(),
      rx_errs: hyper(),
      rx_drop: hyper(),
      tx_bytes: hyper('bytes'),
      tx_packets: hyper(),
      tx_errs: hyper(),
      tx_drop: hyper()
    },
    run(domain, { device }) {
      const net = domain.def.devices.interfaces.find(
        ({ target, mac }) => target?.dev === device || mac === device.toLowerCase()
      )
      const stats = net && interfaceStats(net)
      if (!stats) throw failDomain('VIR_ERR_INVALID_ARG', `'${device}' is not a known interface`)
      return {
        rx_bytes: stats.rx_bytes!,
        rx_packets: stats.rx_packets!,
        rx_errs: stats.rx_errors!,
        rx_drop: stats.rx_dropped!,
        tx_bytes: stats.tx_bytes!,
        tx_packets: stats.tx_packets!,
        tx_errs: stats.tx_errors!,
        tx_drop: stats.tx_dropped!
      }
    }
  })
}
