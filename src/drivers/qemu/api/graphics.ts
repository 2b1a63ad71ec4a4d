// Screens as connections of their own.
import { virDomainGraphicsReloadType, virDomainOpenGraphicsFlags } from '../../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import { flags, uint } from '../../../conf/wire.ts'
import { methodFor, noFlags } from '../../method.ts'
import { connectScreen, openScreen } from '../console/graphics.ts'
import type { QemuDomain } from '../domain/domain.ts'

const method = methodFor<QemuDomain>()
const fail = errorsFrom('VIR_FROM_QEMU')
const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')
const badQemuArgument = argumentErrorsFrom('VIR_FROM_QEMU')
const { VIR_DOMAIN_GRAPHICS_RELOAD_TYPE_ANY } = virDomainGraphicsReloadType
const RELOAD_TYPES = Object.keys(virDomainGraphicsReloadType).length

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
  }),

  /** Has the guest's screens read their TLS certificates anew. Source: qemuDomainGraphicsReload. */
  virDomainGraphicsReload: method({
    since: '10.2.0',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    args: { type: uint('virDomainGraphicsReloadType'), ...noFlags },
    ret: {},
    check({ type }) {
      if (type >= RELOAD_TYPES) throw badQemuArgument(`type must be less than ${RELOAD_TYPES}`)
    },
    async run(domain, { type }) {
      const isForNone = type === VIR_DOMAIN_GRAPHICS_RELOAD_TYPE_ANY && !domain.def.devices.graphics.some(isVnc)
      if (isForNone) return {}
      if (!domain.isActive) throw fail('VIR_ERR_OPERATION_INVALID', 'domain is not running')
      await domain.qmp.execute('display-reload', { type: 'vnc', 'tls-certs': true })
      return {}
    }
  })
}

const isVnc = ({ type }: { type: string }) => type === 'vnc'
