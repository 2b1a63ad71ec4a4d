// <graphics>: display servers and windows that show the guest's screens.
import type { DomainDef } from '../domain-def.ts'
import {
  absentIf,
  attr,
  child,
  custom,
  type Def,
  type Fields,
  inChild,
  nonZero,
  parseFields,
  readFirst,
  readIf,
  readLast,
  required,
  spread,
  variant
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff, type Scalar, string, uint, yesNo } from '../scalar.ts'
import { childElements, element } from '../xml.ts'
import { ensureAudioId } from './audio.ts'
import { deviceFamily } from './family.ts'
import { validateListens } from './graphics-listen.ts'
import { password } from './graphics-password.ts'
import { rdpServer, spiceServer, spiceWithoutPorts, vncServer } from './graphics-server.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** A child whose one attribute must be given. */
const setting = <T>(name: string, attribute: string, type: Scalar<T>) => inChild(name, required(attr(attribute, type)))

const gl = inChild('gl', {
  ...custom<{ enable: boolean; rendernode?: string }>({
    names: ['@enable', '@rendernode'],
    parse: (node, context) =>
      parseFields(node, { enable: required(attr('enable', yesNo)), rendernode: attr('rendernode', string) }, context),
    format({ enable, rendernode }, into) {
      into.attributes.enable = yesNo.format(enable)
      if (rendernode !== undefined) into.attributes.rendernode = rendernode
    }
  })
})

const fullscreen = absentIf(false, attr('fullscreen', yesNo))
const audio = inChild('audio', required(nonZero(attr('id', uint))))
const wanCompression = enumOf('auto', 'never', 'always')

const channelName = enumOf('main', 'display', 'inputs', 'cursor', 'playback', 'record', 'smartcard', 'usbredir')
const channelMode = enumOf('any', 'secure', 'insecure')
const channel = { name: required(attr('name', channelName)), mode: required(attr('mode', channelMode)) }

interface ChannelDef {
  name: (typeof channelName.values)[number]
  mode: Exclude<(typeof channelMode.values)[number], 'any'>
}

/** Spice channels that must or must not be encrypted, in Spice's order; the last word on each counts. */
const channels = custom<ChannelDef[]>({
  names: [['channel', channel]],
  parse(node, context) {
    const given = childElements(node, 'channel').map(found => parseFields(found, channel, context))
    return channelName.values.flatMap(name => {
      const mode = given.findLast(one => one.name === name)?.mode
      return mode && mode !== 'any' ? [{ name, mode }] : []
    })
  },
  format(value, into) {
    for (const { name, mode } of value) into.children.push(element('channel', { name, mode }))
  }
})

/** Anything but yes is no. */
const yesOnly = (name: string) => readIf(node => node.attributes[name] === 'yes', attr(name, yesNo))

const kinds = {
  vnc: {
    server: vncServer,
    keymap: attr('keymap', string),
    sharePolicy: absentIf(
      'default',
      attr('sharePolicy', enumOf('default', 'allow-exclusive', 'force-shared', 'ignore'))
    ),
    powerControl: attr('powerControl', yesNo),
    password: password('vnc'),
    audio
  },
  spice: {
    server: spiceServer,
    keymap: attr('keymap', string),
    defaultMode: absentIf('any', attr('defaultMode', channelMode)),
    password: password('spice'),
    channels,
    image: setting('image', 'compression', enumOf('auto_glz', 'auto_lz', 'quic', 'glz', 'lz', 'off')),
    jpeg: setting('jpeg', 'compression', wanCompression),
    zlib: setting('zlib', 'compression', wanCompression),
    playback: setting('playback', 'compression', onOff),
    streaming: setting('streaming', 'mode', enumOf('filter', 'all', 'off')),
    mouse: setting('mouse', 'mode', enumOf('server', 'client')),
    copypaste: setting('clipboard', 'copypaste', yesNo),
    filetransfer: setting('filetransfer', 'enable', yesNo),
    gl
  },
  sdl: {
    display: attr('display', string),
    xauth: attr('xauth', string),
    fullscreen,
    gl: setting('gl', 'enable', yesNo)
  },
  'egl-headless': { gl: child('gl', { rendernode: attr('rendernode', string) }) },
  dbus: { p2p: absentIf(false, attr('p2p', yesNo)), address: attr('address', string), gl, audio },
  rdp: {
    server: rdpServer,
    replaceUser: yesOnly('replaceUser'),
    multiUser: yesOnly('multiUser'),
    password: password('rdp')
  },
  desktop: { display: attr('display', string), fullscreen }
} satisfies Record<string, Fields>

/** In libvirt's order of reading, which decides about the error. */
const kindsAsRead: typeof kinds = {
  ...kinds,
  vnc: readLast(kinds.vnc, 'audio', 'password'),
  spice: readLast(kinds.spice, 'mouse'),
  sdl: readFirst(kinds.sdl, 'fullscreen')
}

export const graphicsFields = { kind: spread(variant('type', kinds, undefined, kindsAsRead)) } satisfies Fields
/** Told apart by `type`. */
export type GraphicsDef = Def<typeof graphicsFields>
export type GraphicsOf<T extends GraphicsDef['type']> = Extract<GraphicsDef, { type: T }>

export const graphics = deviceFamily({
  element: 'graphics',
  fields: graphicsFields,
  validate(dev, def) {
    if ('listens' in dev) validateListens(dev.listens, dev.type)
    if (dev.type === 'vnc') ensureAudioId(def, dev.audio)
    if (dev.type === 'dbus' && dev.p2p && dev.address !== undefined) {
      throw fail('VIR_ERR_XML_ERROR', 'D-Bus p2p with an address is not supported')
    }
  }
})

/** The step of post-parse behind the per-device one (virDomainDefPostParseGraphics). */
export function postParseGraphics({ devices }: DomainDef): void {
  for (const dev of devices.graphics) if (dev.type === 'spice') spiceWithoutPorts(dev)
}

/** True if some display of the guest draws with OpenGL (virDomainGraphicsDefHasOpenGL). */
export function hasOpenGl({ devices }: DomainDef): boolean {
  return devices.graphics.some(
    dev =>
      dev.type === 'egl-headless' ||
      (dev.type === 'sdl' && dev.gl) ||
      ((dev.type === 'spice' || dev.type === 'dbus') && dev.gl?.enable)
  )
}
