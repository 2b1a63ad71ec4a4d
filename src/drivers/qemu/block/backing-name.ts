// Names of backing images as images tell them: paths, URIs, QEMU's older `PROTOCOL:…`, and descriptions in JSON
// (virStorageSourceNewFromBackingAbsolute, storage_source_backingstore.c).
import { errorsFrom } from '../../../conf/error.ts'
import { parseJson } from '../../../conf/json.ts'
import type { StorageSource, StorageSourceOf } from '../../../conf/storage/source.ts'
import {
  assignDefaultPort,
  parsePort,
  type StorageHost,
  type StorageProtocol,
  storageProtocol,
  storageTransport
} from '../../../conf/storage/source-network.ts'
import { parseStorageUri } from './uri.ts'

const fail = errorsFrom('VIR_FROM_STORAGE')
const internal = (message: string) => fail('VIR_ERR_INTERNAL_ERROR', message)
const wrong = (message: string) => fail('VIR_ERR_INVALID_ARG', message)

type Network = StorageSourceOf<'network'>
/** Undefined stands for a place that is said with what libvirt has no words for, as a password in a URI. */
type Found = StorageSource | undefined

/** True for a name without a protocol; a file called so has a `./` before its name. */
export const isFileName = (name: string): boolean => !/^[^/]*:/.test(name)

/**
 * The image of that name.
 * @returns undefined where only QEMU can open it: with a password in its name
 * @throws VIR_ERR_INTERNAL_ERROR, VIR_ERR_INVALID_ARG, VIR_ERR_CONFIG_UNSUPPORTED for names that libvirt refuses
 */
export function sourceOfName(name: string): StorageSource | undefined {
  if (isFileName(name)) return { type: 'file', path: name }
  if (name.startsWith('fat:')) return { type: 'dir', format: 'fat', path: name.slice('fat:'.length) }
  if (name.startsWith('json:')) return fromJson(name.slice('json:'.length))
  return name.includes('://') ? fromUri(name) : fromColon(name)
}

function network(protocol: StorageProtocol, hosts: StorageHost[], more: Partial<Network>): Network {
  const given = Object.entries(more).filter(([, value]) => value !== undefined)
  return {
    type: 'network',
    protocol,
    hosts: hosts.map(host => assignDefaultPort(host, protocol)),
    ...Object.fromEntries(given)
  } as Network
}

const tcp = (name: string | undefined, port: number | undefined): StorageHost => ({
  ...(name !== undefined && { name }),
  ...(port && { port }),
  transport: 'tcp'
})

/** @param port as text; absent or 0: the protocol's own */
const inet = (name: string | undefined, port: string | undefined) =>
  tcp(name, port === undefined ? undefined : parsePort(port))

function protocolOf(text: string): StorageProtocol {
  const protocol = storageProtocol.parse(text)
  if (protocol === undefined) throw internal(`invalid backing protocol '${text}'`)
  return protocol
}

/** @param expected the protocol of the driver that is given the URI */
function fromUri(text: string, expected?: StorageProtocol): Network | undefined {
  const uri = parseStorageUri(text)
  if (!uri) throw internal(`failed to parse backing file location '${text}'`)
  const { scheme, user, server, port, path, query } = uri
  const [, kind = '', how] = /^([^+]*)(?:\+(.*))?$/.exec(scheme)!
  const protocol = protocolOf(kind)
  const transport = how === undefined ? 'tcp' : storageTransport.parse(how)
  if (transport === undefined) throw internal(`invalid protocol transport type '${how}'`)
  const isHttp = protocol === 'http' || protocol === 'https'
  const socket = isHttp || !query?.startsWith('socket=') ? undefined : query.slice('socket='.length)
  const name = path.replace(/^\//, '')
  if (protocol === 'gluster' && !(name.indexOf('/') > 0)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `missing volume name or file name in gluster source path '${name}'`)
  }
  if (expected !== undefined && protocol !== expected) {
    throw wrong(`expected protocol '${expected}' but got '${protocol}' in URI JSON volume definition`)
  }
  if (user !== undefined) return undefined
  const host: StorageHost = { ...tcp(server, port), transport, ...(socket !== undefined && { socket }) }
  return network(protocol, [host], {
    name: protocol === 'nbd' && name === '' ? undefined : name,
    query: isHttp ? query : undefined
  })
}

const COLON: { [P in StorageProtocol]?: (text: string) => Network } = { nbd: fromNbdColon, rbd: fromRbdColon }
/** Protocols that have neither a URI nor an older form libvirt knows. */
const NO_COLON: StorageProtocol[] = ['none', 'sheepdog']

function fromColon(text: string): Network {
  const [kind] = text.split(':', 1)
  const protocol = protocolOf(kind!)
  const read = COLON[protocol]
  if (read) return read(text)
  throw internal(
    NO_COLON.includes(protocol)
      ? `backing store parser is not implemented for protocol ${protocol}`
      : `malformed backing store path for protocol ${protocol}`
  )
}

/** `nbd:unix:SOCKET[:exportname=NAME]`, `nbd:HOST:PORT[:exportname=NAME]` */
function fromNbdColon(text: string): Network {
  const [, place = '', name] = /^nbd:(.*?)(?::exportname=(.*))?$/s.exec(text)!
  const [, socket] = /^unix:(.+)$/s.exec(place) ?? []
  if (socket !== undefined) return network('nbd', [{ transport: 'unix', socket }], { name })
  const [, bracketed, plain, port] = /^(?:\[(.+?)\]|([^:[][^:]*)):(.*)$/s.exec(place) ?? []
  const server = bracketed ?? plain
  if (server === undefined || place.startsWith('unix:')) throw internal(`malformed nbd string '${text}'`)
  return network('nbd', [inet(server, port)], { name })
}

/** `rbd:POOL/IMAGE[@SNAPSHOT][:KEY=VALUE]…`, with `\` before what would end a value; who asks is not taken from there. */
function fromRbdColon(text: string): Network {
  const [, image = '', options = ''] = /^(?:rbd:)?([^:]*)(?::(.*))?$/s.exec(text)!
  const [, name = '', snapshot] = /^([^@]*)(?:@(.*))?$/s.exec(image)!
  const given = options.match(/(?:\\.|[^:\\])+/gs) ?? []
  const values = (key: string) => given.filter(one => one.startsWith(`${key}=`)).map(one => one.slice(key.length + 1))
  if (values('id').length > 1) throw internal(`duplicate 'id' found in '${name.replace(/^[^/]*\//, '')}'`)
  const hosts = values('mon_host').flatMap(list => list.split(/\\[,; ]/).filter(Boolean))
  return network('rbd', hosts.map(monitorHost), { name, snapshot, config: values('conf').at(-1) })
}

/** `HOST[\:PORT]`, `[ADDRESS][\:PORT]` */
function monitorHost(text: string): StorageHost {
  const [, address, port] = /^\[([^\]]*)\](?:\\:(.*))?$/s.exec(text) ?? /^(.*?)(?:\\:(.*))?$/s.exec(text)!
  return inet(address!.replaceAll('\\:', ':'), port)
}

// JSON

type Json = Record<string, unknown>

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

const textOf = (json: Json, key: string) => (typeof json[key] === 'string' ? json[key] : undefined)
const objectOf = (json: Json, key: string) => (isObject(json[key]) ? json[key] : undefined)
const listOf = (json: Json, key: string) => (Array.isArray(json[key]) ? (json[key] as unknown[]) : undefined)

/** An amount, if there is one. @throws the error for any other value */
function amountOf(json: Json, key: string, malformed: string): bigint | undefined {
  const value = json[key]
  if (value === undefined) return undefined
  if ((typeof value !== 'bigint' && !Number.isInteger(value)) || (value as number | bigint) < 0) throw wrong(malformed)
  return BigInt(value as number | bigint)
}

/**
 * Nests what is written flat: `a.b` becomes a member b of a, and objects with the keys 0, 1, … become lists
 * (virJSONValueObjectDeflatten).
 * @throws VIR_ERR_INVALID_ARG for keys that contradict each other
 */
function nested(json: Json): Json {
  const out: Json = Object.create(null)
  for (const [path, value] of Object.entries(json)) {
    const keys = path.split('.')
    const last = keys.pop()!
    let into = out
    for (const key of keys) {
      into[key] ??= Object.create(null)
      const inner = into[key]
      if (!isObject(inner)) throw wrong('mixing nested objects and values is forbidden in JSON deflattening')
      into = inner
    }
    if (last in into) throw wrong(`can't deflatten colliding key '${last}'`)
    into[last] = isObject(value) ? nested(value) : value
  }
  return out
}

function withLists(value: unknown): unknown {
  if (!isObject(value)) return value
  const keys = Object.keys(value)
  for (const key of keys) value[key] = withLists(value[key])
  const isList = keys.every(key => /^\d+$/.test(key) && Number(key) < keys.length)
  return isList ? keys.sort((a, b) => Number(a) - Number(b)).map(key => value[key]) : value
}

function fromJson(text: string): Found {
  let given: unknown
  try {
    given = parseJson(text)
  } catch (error) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `cannot parse json ${text}: ${(error as Error).message}`, error)
  }
  const json = isObject(given) ? withLists(nested(given)) : given
  if (!isObject(json)) throw wrong(`JSON backing volume definition '${text}' lacks driver name`)
  return fromDriver(json.driver === undefined ? (objectOf(json, 'file') ?? json) : json, text, true)
}

/** @param text the whole description, for errors */
function fromDriver(json: Json, text: string, mayBeFormat: boolean): Found {
  const driver = textOf(json, 'driver')
  if (driver === undefined) throw wrong(`JSON backing volume definition '${text}' lacks driver name`)
  if (driver === 'raw') {
    if (mayBeFormat) return fromRaw(json, text)
    throw wrong(`JSON backing volume definition '${text}' must not have nested format drivers`)
  }
  if (!Object.hasOwn(DRIVERS, driver)) {
    throw internal(`missing parser implementation for JSON backing volume driver '${driver}'`)
  }
  return DRIVERS[driver]!(json, text)
}

/** A part of what lies below. */
function fromRaw(json: Json, text: string): Found {
  const [offset, size] = ['offset', 'size'].map(key =>
    amountOf(json, key, `malformed '${key}' property of 'raw' driver`)
  )
  const file = objectOf(json, 'file')
  if (!file) throw wrong(`JSON backing volume definition '${text}' lacks 'file' object`)
  const source = fromDriver(file, text, false)
  if (!source || (offset ?? size) === undefined) return source
  return { ...source, slice: { offset: offset ?? 0n, size: size ?? 0n } }
}

const DRIVERS: Record<string, (json: Json, text: string) => Found> = {
  file: json => fromFile(json, 'file'),
  host_device: json => fromFile(json, 'block'),
  host_cdrom: json => fromFile(json, 'block'),
  http: (json, text) => fromCurl(json, text, 'http'),
  https: (json, text) => fromCurl(json, text, 'https'),
  ftp: (json, text) => fromCurl(json, text, 'ftp'),
  ftps: (json, text) => fromCurl(json, text, 'ftps'),
  tftp: (json, text) => fromCurl(json, text, 'tftp'),
  gluster: fromGluster,
  iscsi: fromIscsi,
  nbd: fromNbd,
  sheepdog: fromSheepdog,
  ssh: fromSsh,
  rbd: fromRbd,
  nfs: fromNfs,
  vxhs: fromVxhs,
  nvme: fromNvme
}

function fromFile(json: Json, type: 'file' | 'block'): StorageSource {
  const path = textOf(json, 'filename')
  if (path === undefined) throw wrong("missing 'filename' field in JSON backing volume definition")
  return { type, path }
}

type CurlProtocol = 'http' | 'https' | 'ftp' | 'ftps' | 'tftp'

function fromCurl(json: Json, text: string, protocol: CurlProtocol): Network | undefined {
  const url = textOf(json, 'url')
  if (url === undefined) throw wrong("missing 'url' in JSON backing volume definition")
  const malformed = (key: string) => `malformed '${key}' field in backing store definition '${text}'`
  const more: Partial<Network> = {}
  if (/s$/.test(protocol) && json.sslverify !== undefined) {
    // libguestfs writes 'off'
    const verify = json.sslverify === 'off' ? false : json.sslverify
    if (typeof verify !== 'boolean') throw wrong(malformed('sslverify'))
    more.sslVerify = verify
  }
  if (/^http/.test(protocol) && json.cookie !== undefined) more.cookies = cookiesOf(json.cookie, text)
  for (const key of ['readahead', 'timeout'] as const) more[key] = amountOf(json, key, malformed(key)) || undefined
  const source = fromUri(url, protocol)
  return source && network(source.protocol, source.hosts, { ...source, ...more })
}

function cookiesOf(given: unknown, text: string) {
  if (typeof given !== 'string') {
    throw wrong(`wrong format of 'cookie' field in backing store definition '${text}'`)
  }
  return given.split(';').map(one => {
    const cookie = one.trimStart()
    const end = cookie.indexOf('=')
    if (end < 0) throw wrong(`malformed http cookie '${one}' in backing store definition '${text}'`)
    return { name: cookie.slice(0, end), value: cookie.slice(end + 1) }
  })
}

/** InetSocketAddress */
function inetAddress(json: unknown): StorageHost {
  if (!isObject(json)) throw wrong('missing remote server specification in JSON backing volume definition')
  const host = textOf(json, 'host')
  if (host === undefined) throw wrong('missing hostname for tcp backing server in JSON backing volume definition')
  return inet(host, textOf(json, 'port'))
}

/** SocketAddress, with the names gluster once had for its parts */
function socketAddress(json: unknown): StorageHost {
  if (!isObject(json)) throw wrong('missing remote server specification in JSON backing volume definition')
  const type = textOf(json, 'type')
  if (type === undefined) throw wrong('missing socket address type in JSON backing volume definition')
  if (type === 'tcp' || type === 'inet') return inetAddress(json)
  if (type !== 'unix') throw internal(`backing store protocol '${type}' is not yet supported`)
  const socket = textOf(json, 'path') ?? textOf(json, 'socket')
  if (socket === undefined) throw wrong('missing socket path for udp backing server in JSON backing volume definition')
  return { transport: 'unix', socket }
}

function fromGluster(json: Json): Network | undefined {
  const uri = textOf(json, 'filename')
  if (uri !== undefined) return fromUri(uri, 'gluster')
  const [volume, path, servers] = [textOf(json, 'volume'), textOf(json, 'path'), listOf(json, 'server')]
  if (volume === undefined || path === undefined || !servers) {
    throw wrong("missing 'volume', 'path' or 'server' attribute in JSON backing definition for gluster volume")
  }
  if (servers.length === 0) {
    throw wrong('at least 1 server is necessary in JSON backing definition for gluster volume')
  }
  return network('gluster', servers.map(socketAddress), { name: `${volume}/${path}` })
}

function fromIscsi(json: Json): Network | undefined {
  const uri = textOf(json, 'filename')
  if (uri !== undefined) return fromUri(uri, 'iscsi')
  if (json.transport !== 'tcp') throw wrong('only TCP transport is supported for iSCSI volumes')
  const [portal, target] = [textOf(json, 'portal'), textOf(json, 'target')]
  if (portal === undefined) throw wrong("missing 'portal' address in iSCSI backing definition")
  if (target === undefined) throw wrong("missing 'target' in iSCSI backing definition")
  const [, server = portal, port] = /^(.*):([^:\]]*)$/s.exec(portal) ?? []
  const host = inet(server, port)
  if ((textOf(json, 'user') ?? textOf(json, 'password')) !== undefined) return undefined
  const { lun } = json
  const number = typeof lun === 'string' || typeof lun === 'number' || typeof lun === 'bigint' ? lun : 0
  return network('iscsi', [host], { name: `${target}/${number}` })
}

function fromNbd(json: Json): Network {
  const [socket, host, server] = [textOf(json, 'path'), textOf(json, 'host'), objectOf(json, 'server')]
  const more = { name: textOf(json, 'export') }
  if (server) return network('nbd', [socketAddress(server)], more)
  if (socket !== undefined) return network('nbd', [{ transport: 'unix', socket }], more)
  if (host !== undefined) return network('nbd', [inet(host, textOf(json, 'port'))], more)
  throw wrong('missing host specification of NBD server in JSON backing volume definition')
}

function fromSheepdog(json: Json): Network | undefined {
  const uri = textOf(json, 'filename')
  if (uri?.includes('://')) return fromUri(uri, 'sheepdog')
  if (uri !== undefined) throw wrong('missing sheepdog URI in JSON backing volume definition')
  const vdi = textOf(json, 'vdi')
  if (vdi === undefined) throw wrong('missing sheepdog vdi name')
  return network('sheepdog', [socketAddress(objectOf(json, 'server'))], { name: vdi })
}

function fromSsh(json: Json): Network {
  const [path, host, server] = [textOf(json, 'path'), textOf(json, 'host'), objectOf(json, 'server')]
  if ((host ?? server) === undefined || path === undefined) {
    throw wrong('missing host/server or path of SSH JSON backing volume definition')
  }
  return network('ssh', [server ? inetAddress(server) : inet(host, textOf(json, 'port'))], {
    name: path,
    sshUser: textOf(json, 'user'),
    sshHostKeyCheck: json.host_key_check === 'no' ? false : undefined
  })
}

function fromRbd(json: Json): Network {
  const old = textOf(json, 'filename')
  if (old !== undefined) return fromRbdColon(old)
  const [pool, image] = [textOf(json, 'pool'), textOf(json, 'image')]
  if (pool === undefined || image === undefined) {
    throw wrong('missing pool or image name in ceph backing volume JSON specification')
  }
  return network('rbd', (listOf(json, 'server') ?? []).map(inetAddress), {
    name: `${pool}/${image}`,
    snapshot: textOf(json, 'snapshot'),
    config: textOf(json, 'conf')
  })
}

function fromNfs(json: Json): Network {
  const server = objectOf(json, 'server')
  if (!server) throw wrong("missing 'server' attribute in JSON backing definition for NFS volume")
  const { user, group } = json
  if (!Number.isInteger(user) || !Number.isInteger(group)) {
    throw wrong("missing 'user' or 'group' attribute in JSON backing definition for NFS volume")
  }
  const path = textOf(json, 'path')
  if (path === undefined) throw wrong("missing 'path' attribute in JSON backing definition for NFS volume")
  return network('nfs', [inetAddress(server)], { name: path, identity: { user: `+${user}`, group: `+${group}` } })
}

function fromVxhs(json: Json): Network {
  const [disk, server] = [textOf(json, 'vdisk-id'), objectOf(json, 'server')]
  if (disk === undefined || !server) {
    throw wrong("missing 'vdisk-id' or 'server' attribute in JSON backing definition for VxHS volume")
  }
  return network('vxhs', [inetAddress(server)], { name: disk })
}

function fromNvme(json: Json): StorageSource {
  const found = /^([\da-f]+):([\da-f]+):([\da-f]+)\.([\da-f]+)$/i.exec(textOf(json, 'device') ?? '')
  if (!found) throw wrong("missing or malformed 'device' field of 'nvme' storage")
  const malformed = "missing or malformed 'namespace' field of 'nvme' storage"
  const namespace = amountOf(json, 'namespace', malformed)
  if (!namespace) throw wrong(malformed)
  const [domain, bus, slot, fn] = found.slice(1).map(part => Number.parseInt(part, 16)) as [
    number,
    number,
    number,
    number
  ]
  return { type: 'nvme', bus: 'pci', namespace, address: { domain, bus, slot, function: fn } } as StorageSource
}
