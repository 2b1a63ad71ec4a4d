// Commands that tell where a guest's screens and its first console are.
import { virDomainXMLFlags } from '../../conf/enums.ts'
import { firstChild, type XmlElement } from '../../conf/xml.ts'
import { type Commands, type DomainCall, onDomain, option } from '../command.ts'
import { devicesIn } from '../device-xml.ts'
import { ClientError } from '../failure.ts'

const { VIR_DOMAIN_XML_SECURE } = virDomainXMLFlags

/** virsh's order. */
const SCHEMES = ['vnc', 'spice', 'rdp', 'dbus'] as const
/** The port of VNC's display 0. */
const VNC_PORT = 5900
const DBUS_SOCKET = 'unix:path='

/** The screens of a guest, which must run. */
async function screens({ shim, id }: DomainCall, flags = 0): Promise<XmlElement[]> {
  if (id === -1) throw new ClientError('Domain is not running')
  return devicesIn((await shim.call('virDomainGetXMLDesc', { flags })).xml, 'graphics')
}

/** Address a screen listens at; undefined for all of the host's. */
function addressOf(screen: XmlElement): string | undefined {
  const address = screen.attributes.listen ?? firstChild(screen, 'listen')?.attributes.address
  return address === '0.0.0.0' || address === '::' ? undefined : address
}

const numberOf = (text: string | undefined) => (/^-?\d+$/.test(text ?? '') ? Number(text) : 0)

/** The URI a viewer takes (virshGetOneDisplay); undefined for a screen that nobody can connect to. */
function uriOf(scheme: string, screen: XmlElement): string | undefined {
  const { port, tlsPort, passwd, address: bus } = screen.attributes
  if (scheme === 'dbus')
    return bus?.startsWith(DBUS_SOCKET) ? `dbus+unix://${bus.slice(DBUS_SOCKET.length)}` : undefined
  const listen = firstChild(screen, 'listen')?.attributes
  const socket = listen?.type === 'socket' ? listen.socket : undefined
  const [plain, tls] = [numberOf(port), numberOf(tlsPort)]
  if (!plain && !tls && socket === undefined) return undefined
  const host = addressOf(screen) ?? 'localhost'
  const where = socket ?? (host.includes(':') ? `[${host}]` : host)
  const secret = scheme === 'vnc' && passwd !== undefined ? `:${passwd}@` : ''
  const number = plain === 0 ? '' : `:${scheme === 'vnc' ? plain - VNC_PORT : plain}`
  const query = [
    ...(tls === 0 ? [] : [`tls-port=${tls}`]),
    ...(scheme === 'spice' && passwd !== undefined ? [`password=${passwd}`] : [])
  ]
  const params = query.length > 0 ? `?${query.join('&')}` : ''
  return `${scheme}${socket === undefined ? '' : '+unix'}://${secret}${where}${number}${params}`
}

async function domdisplay(call: DomainCall): Promise<void> {
  const { given, session } = call
  given.exclusive(['all', 'type'])
  const [all, type] = [given.has('all'), given.text('type')]
  const found = await screens(call, given.has('include-password') ? VIR_DOMAIN_XML_SECURE : 0)
  const uris = SCHEMES.filter(scheme => type === undefined || type === scheme).flatMap(scheme => {
    const screen = found.find(({ attributes }) => attributes.type === scheme)
    const uri = screen && uriOf(scheme, screen)
    return uri === undefined ? [] : [uri]
  })
  if (uris.length === 0) {
    throw new ClientError(`No graphical display${type === undefined ? '' : ` with type '${type}'`} found`)
  }
  session.print(all ? uris.map(uri => `${uri}\n`).join('') : uris[0]!)
}

async function vncdisplay(call: DomainCall): Promise<void> {
  const screen = (await screens(call)).find(({ attributes }) => attributes.type === 'vnc')
  const port = screen?.attributes.port
  if (port === undefined) throw new ClientError('Failed to get VNC port. Is this domain using VNC?')
  const address = screen!.attributes.listen ?? firstChild(screen!, 'listen')?.attributes.address ?? '0.0.0.0'
  call.session.print(`${address === '0.0.0.0' ? '' : address}:${Number(port) - VNC_PORT}\n`)
}

export const displays: Commands = {
  domdisplay: {
    ...onDomain(
      'domain display connection URI',
      {
        'include-password': option.bool('includes the password into the connection URI if available'),
        type: option.text('select particular graphical display (e.g. "vnc", "spice", "rdp", "dbus")', {
          values: SCHEMES
        }),
        all: option.bool('show all possible graphical displays')
      },
      domdisplay
    ),
    description: 'Output the IP address and port number for the graphical display.'
  },

  ttyconsole: {
    ...onDomain('tty console', {}, async ({ shim, session }) => {
      const [console] = devicesIn((await shim.call('virDomainGetXMLDesc', { flags: 0 })).xml, 'console')
      if (console?.attributes.tty === undefined) throw new ClientError()
      session.print(`${console.attributes.tty}\n`)
    }),
    description: 'Output the device for the TTY console.'
  },

  vncdisplay: {
    ...onDomain('vnc display', {}, vncdisplay),
    description: 'Output the IP address and port number for the VNC display.'
  }
}
