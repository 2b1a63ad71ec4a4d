// Character device backends: as chardev-add has them (QAPI's ChardevBackend), and as -chardev.
import { keyValue, type Props } from './props.ts'

interface Common {
  logfile?: string | undefined
  logappend?: boolean | undefined
}

/** QAPI's InetSocketAddress, wrapped as SocketAddressLegacy. */
interface InetAddress {
  type: 'inet'
  data: { host: string; port: string }
}

export type ChardevBackend =
  | { type: 'null' | 'vc' | 'pty' | 'stdio'; data: Common }
  | { type: 'serial' | 'parallel' | 'pipe'; data: Common & { device: string | undefined } }
  | { type: 'file'; data: Common & { out: string | undefined; append?: boolean | undefined } }
  | { type: 'udp'; data: Common & { remote: InetAddress; local?: InetAddress | undefined } }
  | { type: 'socket'; data: Common & SocketBackend }
  | { type: 'spicevmc'; data: Common & { type: string } }
  | { type: 'spiceport'; data: Common & { fqdn: string | undefined } }
  | { type: 'dbus'; data: Common & { name: string | undefined } }
  | { type: 'qemu-vdagent'; data: Common & { clipboard?: boolean | undefined; mouse?: boolean | undefined } }

interface SocketBackend {
  addr: InetAddress | { type: 'unix'; data: { path: string | undefined } }
  /** QMP takes a socket for a server unless told otherwise, -chardev for a client */
  server: boolean
  /** a server holds QEMU back until someone connects; QMP does not unless told to, -chardev does */
  wait?: boolean | undefined
  telnet?: boolean | undefined
  /** seconds between attempts of a client, 0: none */
  reconnect?: number | undefined
  /** the same in milliseconds, of newer QEMU */
  'reconnect-ms'?: number | undefined
  'tls-creds'?: string | undefined
}

/** The value of -chardev (qemuBuildChardevStr). */
export function chardevArg(id: string, backend: ChardevBackend): string {
  const { logfile, logappend } = backend.data
  return keyValue(backend.type, { id, ...options(backend), logfile, logappend })
}

function options({ type, data }: ChardevBackend): Props {
  switch (type) {
    case 'serial':
    case 'parallel':
    case 'pipe':
      return { path: data.device }
    case 'file':
      return { path: data.out, append: data.append }
    case 'udp': {
      const { remote, local } = data
      const { host: localaddr, port: localport } = local?.data ?? { host: '', port: '0' }
      return { ...remote.data, localaddr, localport }
    }
    case 'socket': {
      const { addr, server, wait, telnet, reconnect } = data
      return {
        ...addr.data,
        telnet: telnet || undefined,
        server: server || undefined,
        wait: server && !wait ? false : undefined,
        reconnect,
        'reconnect-ms': data['reconnect-ms'],
        'tls-creds': data['tls-creds']
      }
    }
    case 'spicevmc':
      return { name: data.type }
    case 'spiceport':
      return { name: data.fqdn }
    case 'dbus':
      return { name: data.name }
    case 'qemu-vdagent':
      return { name: 'vdagent', clipboard: data.clipboard, mouse: data.mouse }
    default:
      return {}
  }
}
