// Events about who looks at the guest's displays.
import { virDomainEventGraphicsAddressType, virDomainEventGraphicsPhase } from '../../../conf/enums.ts'
import { type EventData, type Handler, type Handlers, objectOf, textOf } from './handler.ts'

const {
  VIR_DOMAIN_EVENT_GRAPHICS_CONNECT,
  VIR_DOMAIN_EVENT_GRAPHICS_INITIALIZE,
  VIR_DOMAIN_EVENT_GRAPHICS_DISCONNECT
} = virDomainEventGraphicsPhase
const ADDRESS = virDomainEventGraphicsAddressType

const FAMILIES: Record<string, number> = {
  ipv4: ADDRESS.VIR_DOMAIN_EVENT_GRAPHICS_ADDRESS_IPV4,
  ipv6: ADDRESS.VIR_DOMAIN_EVENT_GRAPHICS_ADDRESS_IPV6,
  unix: ADDRESS.VIR_DOMAIN_EVENT_GRAPHICS_ADDRESS_UNIX
}

/** Proofs of a viewer's identity, by libvirt's name and QEMU's. */
const IDENTITIES = { x509dname: 'x509_dname', saslUsername: 'sasl_username' }

const addressOf = (data: EventData, service: 'service' | 'port') => ({
  family: FAMILIES[textOf(data, 'family')] ?? ADDRESS.VIR_DOMAIN_EVENT_GRAPHICS_ADDRESS_IPV4,
  node: textOf(data, 'host'),
  service: textOf(data, service)
})

function graphics(phase: number, service: 'service' | 'port'): Handler {
  return (domain, data, timestampUs) => {
    const server = objectOf(data, 'server')
    const client = objectOf(data, 'client')
    // SPICE asks for a password on each channel; it counts once, when the connection is ready
    const tellsAuth = service === 'service' || phase === VIR_DOMAIN_EVENT_GRAPHICS_INITIALIZE
    const subject = Object.entries(service === 'service' ? IDENTITIES : {}).flatMap(([type, name]) =>
      typeof client[name] === 'string' ? [{ type, name: client[name] }] : []
    )
    const fields = {
      phase,
      local: addressOf(server, service),
      remote: addressOf(client, service),
      authScheme: tellsAuth && typeof server.auth === 'string' ? server.auth : '',
      subject
    }
    domain.events.emit('VIR_DOMAIN_EVENT_ID_GRAPHICS', fields, timestampUs)
  }
}

export const graphicsEvents: Handlers = {
  VNC_CONNECTED: graphics(VIR_DOMAIN_EVENT_GRAPHICS_CONNECT, 'service'),
  VNC_INITIALIZED: graphics(VIR_DOMAIN_EVENT_GRAPHICS_INITIALIZE, 'service'),
  VNC_DISCONNECTED: graphics(VIR_DOMAIN_EVENT_GRAPHICS_DISCONNECT, 'service'),
  SPICE_CONNECTED: graphics(VIR_DOMAIN_EVENT_GRAPHICS_CONNECT, 'port'),
  SPICE_INITIALIZED: graphics(VIR_DOMAIN_EVENT_GRAPHICS_INITIALIZE, 'port'),
  SPICE_DISCONNECTED: graphics(VIR_DOMAIN_EVENT_GRAPHICS_DISCONNECT, 'port')
}
