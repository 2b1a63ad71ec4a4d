// <graphics type='spice'>: checks and the -spice option.
import type { GraphicsOf } from '../../../../conf/devices/graphics.ts'
import { listensOnPort } from '../../../../conf/devices/graphics-server.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { QemuConfig, QemuContext } from '../../context.ts'
import type { StartOptions } from '../../parts/builder.ts'
import { keyValue, type Props } from '../../parts/props.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

type Spice = GraphicsOf<'spice'>

/** @throws VIR_ERR_CONFIG_UNSUPPORTED (qemuValidateDomainDeviceDefSPICEGraphics) */
export function validateSpice(dev: Spice, { qemu, config }: QemuContext): void {
  if (listensOnPort(dev) && (dev.tlsPort ?? 0) > 0 && !config.spiceTls) {
    throw unsupported('spice TLS port set in XML configuration, but TLS is disabled in qemu.conf')
  }
  if (!dev.gl?.enable) return
  if (!qemu.has('spice-gl')) throw unsupported("This QEMU doesn't support spice OpenGL")
  if (dev.gl.rendernode !== undefined && !qemu.has('spice-rendernode')) {
    throw unsupported("This QEMU doesn't support spice OpenGL rendernode")
  }
}

/** The kinds of connection a server offers. */
interface Offers {
  /** encrypted */
  secure: boolean
  /** plain text */
  insecure: boolean
}

/** Adds -spice (qemuBuildGraphicsSPICECommandLine). @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function spiceArgs(to: StartOptions, dev: Spice, config: QemuConfig): void {
  const { place, ...offers } = spicePlace(dev)
  const fixed = keyValue('', {
    'agent-mouse': dev.mouse && dev.mouse === 'client',
    'disable-ticketing': dev.password ? undefined : true,
    'x509-dir': offers.secure ? config.spiceTlsX509CertDir : undefined
  })
  const options = keyValue('', {
    'image-compression': dev.image,
    'jpeg-wan-compression': dev.jpeg,
    'zlib-glz-wan-compression': dev.zlib,
    'playback-compression': dev.playback,
    'streaming-video': dev.streaming,
    'disable-copy-paste': dev.copypaste === false ? true : undefined,
    'disable-agent-file-xfer': dev.filetransfer === false ? true : undefined,
    gl: dev.gl?.enable || undefined,
    rendernode: dev.gl?.enable ? dev.gl.rendernode : undefined,
    'seamless-migration': true
  })
  const parts = [place, fixed, ...channelOptions(dev, offers), options]
  to.add('-spice', parts.filter(part => part !== '').join(','))
  if (dev.keymap !== undefined) to.add('-k', dev.keymap)
}

function spicePlace(dev: Spice): Offers & { place: string } {
  const [listen] = dev.listens
  if (listen?.type === 'socket') {
    return { place: keyValue('', { unix: true, addr: listen.socket ?? '' }), secure: false, insecure: true }
  }
  if (!listensOnPort(dev)) return { place: 'port=0', secure: false, insecure: true }
  const { port = 0, tlsPort = 0 } = dev
  const props: Props = {
    port: port > 0 ? port : undefined,
    'tls-port': tlsPort > 0 ? tlsPort : undefined,
    addr: port > 0 || tlsPort > 0 ? listen?.address : undefined
  }
  return { place: keyValue('', props), secure: tlsPort > 0, insecure: port > 0 }
}

/** Channels that must, and that must not, be encrypted; the key comes as often as there are channels. */
function channelOptions(dev: Spice, offers: Offers): string[] {
  const option = (name: string, mode: 'secure' | 'insecure', what: string) => {
    if (!offers[mode]) {
      const connection = mode === 'secure' ? 'TLS' : 'plaintext'
      throw unsupported(`spice ${what} in XML configuration, but ${connection} connection is not available`)
    }
    return `${mode === 'secure' ? 'tls' : 'plaintext'}-channel=${name}`
  }
  const { defaultMode } = dev
  return [
    ...(defaultMode ? [option('default', defaultMode, `defaultMode ${defaultMode} requested`)] : []),
    ...dev.channels.map(({ name, mode }) => option(name, mode, `${mode} channels set`))
  ]
}
