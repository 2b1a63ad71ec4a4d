// Screens as connections of their own.
import { virDomainOpenGraphicsFlags } from '../../../conf/enums.ts'
import { flags, uint } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import { openGraphics } from '../console/graphics.ts'
import type { QemuDomain } from '../domain/domain.ts'

const method = methodFor<QemuDomain>()

export const graphics = {
  /**
   * A connection to a screen: a descriptor over libvirt's RPC, a WebSocket over HTTP. Source: qemuDomainOpenGraphicsFD.
   */
  virDomainOpenGraphicsFD: method({
    since: '1.2.8',
    on: 'domain',
    acl: 'domain:open_graphics',
    job: 'modify',
    needs: 'active',
    stream: 'file',
    args: { idx: uint('of the <graphics> element'), flags: flags(virDomainOpenGraphicsFlags) },
    ret: {},
    run: (domain, { idx, flags: bits }) => openGraphics(domain, idx, bits)
  })
}
