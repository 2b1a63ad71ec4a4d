// <graphics>: how the guest's screens are reached.
import { attr, childAlways, childAttr, children, custom, type Def, type Fields, required, secret } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, int, string, yesNo } from '../scalar.ts'
import { childElements, element } from '../xml.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Where the server listens. */
export interface ListenDef {
  type: 'address' | 'network' | 'socket' | 'none'
  address?: string
  network?: string
  socket?: string
}

const LISTEN_TYPES = ['address', 'network', 'socket', 'none']

const listens = custom<ListenDef[]>({
  names: [
    '@listen',
    '@socket',
    [
      'listen',
      {
        type: attr('type', string),
        address: attr('address', string),
        network: attr('network', string),
        socket: attr('socket', string)
      }
    ]
  ],
  parse(node) {
    const found = childElements(node, 'listen').map(({ attributes: { type, address, network, socket } }): ListenDef => {
      if (type === undefined || !LISTEN_TYPES.includes(type)) {
        throw fail(
          'VIR_ERR_XML_ERROR',
          type === undefined
            ? "Missing required attribute 'type' in element 'listen'"
            : `Invalid value for attribute 'type' in element 'listen': '${type}'.`
        )
      }
      return {
        type: type as ListenDef['type'],
        ...(address && { address }),
        ...(network && { network }),
        ...(socket && { socket })
      }
    })
    const { listen, socket } = node.attributes
    if (found.length > 0) return found
    if (socket) return [{ type: 'socket', socket }]
    return listen ? [{ type: 'address', address: listen }] : []
  },
  format(value, into) {
    const [first] = value
    if (first?.type === 'address' && first.address) into.attributes.listen = first.address
    if (first?.type === 'socket' && first.socket) into.attributes.socket = first.socket
    for (const { type, address, network, socket } of value)
      into.children.push(element('listen', { type, address, network, socket }))
  }
})

export const graphicsFields = {
  type: required(attr('type', enumOf('sdl', 'vnc', 'rdp', 'desktop', 'spice', 'egl-headless', 'dbus'))),
  port: attr('port', int),
  tlsPort: attr('tlsPort', int),
  autoport: attr('autoport', yesNo),
  websocket: attr('websocket', int),
  listens,
  keymap: attr('keymap', string),
  sharePolicy: attr('sharePolicy', enumOf('allow-exclusive', 'force-shared', 'ignore')),
  powerControl: attr('powerControl', yesNo),
  defaultMode: attr('defaultMode', enumOf('any', 'secure', 'insecure')),
  display: attr('display', string),
  xauth: attr('xauth', string),
  fullscreen: attr('fullscreen', yesNo),
  passwd: secret(attr('passwd', string)),
  passwdValidTo: secret(attr('passwdValidTo', string)),
  connected: attr('connected', enumOf('fail', 'disconnect', 'keep')),
  channels: children('channel', {
    name: required(attr('name', string)),
    mode: required(attr('mode', enumOf('any', 'secure', 'insecure')))
  }),
  image: childAttr('image', 'compression', string),
  jpeg: childAttr('jpeg', 'compression', string),
  zlib: childAttr('zlib', 'compression', string),
  playback: childAttr('playback', 'compression', string),
  streaming: childAttr('streaming', 'mode', string),
  mouse: childAttr('mouse', 'mode', string),
  clipboard: childAttr('clipboard', 'copypaste', yesNo),
  filetransfer: childAttr('filetransfer', 'enable', yesNo),
  gl: childAlways('gl', { enable: attr('enable', yesNo), rendernode: attr('rendernode', string) }),
  audio: childAttr('audio', 'id', int)
} satisfies Fields
export type GraphicsDef = Def<typeof graphicsFields>

export const graphics = deviceFamily({
  element: 'graphics',
  fields: graphicsFields,
  postParse(dev) {
    if (dev.type !== 'vnc' && dev.type !== 'spice') return
    if (dev.listens.length === 0) dev.listens.push({ type: 'address' })
    const address = dev.listens[0]!.type === 'address' || dev.listens[0]!.type === 'network'
    if (!address) return
    if (dev.port === -1 || dev.port === 0 || dev.port === undefined) {
      if (dev.type === 'vnc' || dev.port === -1) dev.autoport = true
      if (dev.type === 'spice' && dev.port === -1) dev.tlsPort ??= -1
    }
    if (dev.autoport && dev.type === 'vnc') dev.port = -1
    if (!dev.autoport) dev.autoport = false
  }
})
