// Screens as connections of their own.
import { virDomainOpenGraphicsFlags } from '../../../conf/enums.ts'
import { argumentErrorsFrom } from '../../../conf/error.ts'
import { flags, uint } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import { connectScreen, openScreen } from '../console/graphics.ts'
import type { QemuDomain } from '../domain/domain.ts'

const method = methodFor<QemuDomain>()
const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')

export const graphics = {
  /** Gives a client's end of a connection to a screen; over libvirt's RPC alone. Source: qemuDomainOpenGraphics. */
  virDomainOpenGraphics: method({
    since: '0.9.7',
    on: 'domain',
    acl: 'domain:open_graphics',
    job: 'modify',
    needs: 'active',
    takesFiles: true,
    args: { idx: uint('of the <graphics> element'), flags: flags(virDomainOpenGraphicsFlags) },
    ret: {},
    async run(domain, { idx, flags: bits }, { files }) {
      const file = files!.at(0)
      if (!file.isSocket) throw badArgument('fd 0 must be a socket')
      await connectScreen(domain, idx, bits, file)
      return {}
    }
  }),

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
    run: (domain, { idx, flags: bits }) => openScreen(domain, idx, bits)
  })
}
