// <source> of images on a storage server: protocol, hosts and what each protocol needs besides.
import {
  absentIf,
  attr,
  child,
  childAlways,
  childAttr,
  custom,
  type Def,
  type Field,
  type Fields,
  inChild,
  parseAttribute,
  readIf,
  required,
  secret
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, uint, ulonglong, yesNo } from '../scalar.ts'
import { childElements, element, firstChild, textOf, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const wrong = (message: string) => fail('VIR_ERR_XML_ERROR', message)
const wrongCookie = (message: string) => errorsFrom('VIR_FROM_STORAGE')('VIR_ERR_XML_ERROR', message)

/** virStorageNetProtocol with the port each has if none is given; 0: none. */
export const DEFAULT_PORTS = {
  none: 0,
  nbd: 10809,
  rbd: 0,
  sheepdog: 7000,
  gluster: 24007,
  iscsi: 3260,
  http: 80,
  https: 443,
  ftp: 21,
  ftps: 990,
  tftp: 69,
  ssh: 22,
  vxhs: 9999,
  nfs: 0
} as const
export type StorageProtocol = keyof typeof DEFAULT_PORTS
export const storageProtocol = enumOf(...(Object.keys(DEFAULT_PORTS) as StorageProtocol[]))

export const storageTransport = enumOf('tcp', 'unix', 'rdma')
/** Open files are an NBD server's alone. */
const anyTransport = enumOf(...storageTransport.values, 'fd')

/** A storage server: name and port, or a socket on this host. */
export interface StorageHost {
  name?: string
  /** absent: the protocol's own, if it has one */
  port?: number
  transport: 'tcp' | 'unix' | 'rdma'
  socket?: string
}

/** A port number, or nothing for 0 (virStringParsePort). @throws VIR_ERR_INVALID_ARG */
export function parsePort(text: string): number | undefined {
  const port = uint.parse(text)
  if (port === undefined) throw fail('VIR_ERR_INVALID_ARG', `failed to parse port number '${text}'`)
  if (port > 65535) throw fail('VIR_ERR_INVALID_ARG', `port '${text}' out of range`)
  return port || undefined
}

/** One host, of any element (virDomainStorageNetworkParseHost). */
export function parseStorageHost(node: XmlElement): StorageHost {
  const { name, port, socket } = node.attributes
  const how = parseAttribute(node, 'transport', anyTransport) ?? 'tcp'
  if (how === 'unix') {
    if (socket === undefined) throw wrong('missing socket for unix transport')
    return { transport: how, socket }
  }
  // libvirt's slip: it means not allowed
  if (how === 'fd') throw wrong("transport 'fd' is now allowed")
  if (socket !== undefined) throw wrong(`transport '${how}' does not support socket attribute`)
  const number = port === undefined ? undefined : parsePort(port)
  if (name === undefined) throw wrong('missing name for host')
  return { name, ...(number !== undefined && { port: number }), transport: how }
}

/** All `<host>` of a `<source>`, without default ports. */
export const storageHosts: Field<StorageHost[]> = {
  names: [
    [
      'host',
      {
        name: attr('name', string),
        port: attr('port', uint),
        transport: attr('transport', storageTransport),
        socket: attr('socket', string)
      }
    ]
  ],
  parse: node => childElements(node, 'host').map(parseStorageHost),
  format(hosts, into) {
    for (const { name, port, transport, socket } of hosts) {
      const how = transport === 'tcp' ? undefined : transport
      into.children.push(element('host', { name, port, transport: how, socket }))
    }
  }
}

/** A TCP host without a port gets that of the protocol (virStorageSourceNetworkAssignDefaultPorts). */
export function assignDefaultPort(host: StorageHost, protocol: StorageProtocol): StorageHost {
  const port = DEFAULT_PORTS[protocol]
  return host.transport === 'tcp' && host.port === undefined && port ? { ...host, port } : host
}

/** As `storageHosts`, with default ports. */
const hosts: Field<StorageHost[]> = {
  ...storageHosts,
  parse(node, context) {
    const protocol = node.attributes.protocol as StorageProtocol
    return storageHosts.parse(node, context).map(host => assignDefaultPort(host, protocol))
  }
}

/** A field that only these protocols have; for others it is passed over. */
const only = <T>(protocols: StorageProtocol[], field: Field<T | undefined>) =>
  readIf(node => (protocols as (string | undefined)[]).includes(node.attributes.protocol), field)
const HTTP: StorageProtocol[] = ['http', 'https']
const FTP: StorageProtocol[] = ['ftp', 'ftps']

/** Image names of these begin with a volume or pool. */
export const hasVolume = (protocol: string | undefined): boolean => protocol === 'gluster' || protocol === 'rbd'

/** Image name; in gluster and rbd it begins with the volume or pool. */
const name: Field<string | undefined> = {
  ...attr('name', string),
  parse(node) {
    const { name, protocol } = node.attributes
    if (name === undefined && protocol !== 'nbd') throw wrong('missing name for disk source')
    // Differs from libvirt, whose daemon ends there
    if (name === '' && protocol === 'iscsi') throw wrong('missing name for disk source')
    if (hasVolume(protocol) && !(name!.indexOf('/') > 0))
      throw wrong(`can't split path '${name}' into pool name and image name`)
    return name || undefined
  }
}

export interface StorageCookie {
  name: string
  value: string
}

// RFC 6265, 4.1.1
const COOKIE_VALUE = /^[^\x01-\x20",;\\]*$/
const COOKIE_NAME = /^[^\x01-\x20",;\\()<>@:/[\]?={}]*$/

/** virStorageSourceNetCookiesValidate */
function checkCookies(cookies: StorageCookie[]): void {
  cookies.forEach(({ name, value }, i) => {
    if (!COOKIE_NAME.test(name)) throw wrongCookie(`cookie name '${name}' contains invalid characters`)
    const quoted = value.startsWith('"')
    const content = quoted ? value.slice(1, -1) : value
    if ((quoted && !value.endsWith('"')) || !COOKIE_VALUE.test(content))
      throw wrongCookie(`value of cookie '${name}' contains invalid characters`)
    if (cookies.slice(i + 1).some(other => other.name === name)) throw wrongCookie(`duplicate cookie '${name}'`)
  })
}

const cookies: Field<StorageCookie[] | undefined> = custom<StorageCookie[] | undefined>({
  names: [['cookies', null]],
  parse(node) {
    const found = firstChild(node, 'cookies')
    if (!found) return undefined
    const list = childElements(found, 'cookie').map(one => {
      const { name } = one.attributes
      if (!name) throw wrong('missing cookie name')
      const value = textOf(one)
      if (value === '') throw wrong(`missing value for cookie '${name}'`)
      return { name, value }
    })
    checkCookies(list)
    return list.length > 0 ? list : undefined
  },
  format(values, into) {
    if (values)
      into.children.push(
        element(
          'cookies',
          {},
          values.map(({ name, value }) => element('cookie', { name }, [value]))
        )
      )
  }
})

/** `<readahead size=…/>`, `<timeout seconds=…/>`: numbers that share one error; 0 counts as absent. */
const amount = (name: string, attribute: string): Field<bigint | undefined> => ({
  ...childAttr(name, attribute, ulonglong),
  parse(node) {
    const text = firstChild(node, name)?.attributes[attribute]
    if (!text) return undefined
    const value = ulonglong.parse(text)
    if (value === undefined) throw wrong('invalid readahead size or timeout')
    return value === 0n ? undefined : value
  }
})

/** Use of TLS; a choice of the driver's configuration is not for another host (VIR_DOMAIN_XML_MIGRATABLE). */
const tls: Field<boolean | undefined> = {
  ...attr('tls', yesNo),
  format(value, into, context, def) {
    const fromConfig = context.migratable && (def as { tlsFromConfig?: true }).tlsFromConfig
    if (value !== undefined && !fromConfig) into.attributes.tls = yesNo.format(value)
  }
}

/** The user did not decide about TLS; told in saved status only. */
const tlsFromConfig: Field<true | undefined> = {
  names: ['@tlsFromConfig'],
  parse: (node, { status }) => (status && node.attributes.tlsFromConfig === '1' ? true : undefined),
  format(value, into, { status }) {
    if (status && value) into.attributes.tlsFromConfig = '1'
  }
}

/** Initiator a connection to an iSCSI target is made as. */
export const storageInitiator: Field<string | undefined> = inChild(
  'initiator',
  absentIf('', childAttr('iqn', 'name', string))
)

/** Fields of an SSH server's `<identity>`: who asks, and the key or agent that shows it. */
const sshIdentityFields = {
  username: required(attr('username', string)),
  keyfile: attr('keyfile', string),
  agentsock: attr('agentsock', string)
} satisfies Fields
const sshIdentityElement = childAlways('identity', sshIdentityFields)
const sshIdentity: typeof sshIdentityElement = {
  ...sshIdentityElement,
  parse(node, context) {
    const identity = sshIdentityElement.parse(node, context)
    if (identity && identity.keyfile === undefined && identity.agentsock === undefined)
      throw wrong("element 'identity' requires either 'keyfile' or 'agentsock' attribute")
    return identity
  }
}

/** virDomainDiskSourceNetworkParse, virDomainDiskSourceFormatNetwork */
export const networkFields = {
  protocol: required(attr('protocol', storageProtocol)),
  name,
  query: only(HTTP, attr('query', string)),
  tls,
  tlsHostname: attr('tlsHostname', string),
  tlsFromConfig,
  hosts,
  identity: only(['nfs'], child('identity', { user: attr('user', string), group: attr('group', string) })),
  /** seconds until requests fail where the server is gone */
  reconnectDelay: only(['nbd'], absentIf(0, childAttr('reconnect', 'delay', uint))),
  snapshot: absentIf('', childAttr('snapshot', 'name', string)),
  config: absentIf('', childAttr('config', 'file', string)),
  initiator: storageInitiator,
  sslVerify: only(['https', 'ftps'], childAttr('ssl', 'verify', yesNo)),
  cookies: secret(only(HTTP, cookies)),
  /** bytes */
  readahead: only([...HTTP, ...FTP], amount('readahead', 'size')),
  /** seconds */
  timeout: only([...HTTP, ...FTP], amount('timeout', 'seconds')),
  /** file with the keys of SSH servers; like the identity it is nbdkit's matter, QEMU takes no more than the user */
  knownHosts: only(['ssh'], inChild('knownHosts', required(attr('path', string)))),
  sshIdentity: only(['ssh'], sshIdentity)
} satisfies Fields
export type NetworkSource = Def<typeof networkFields>

/** The name of an image in gluster or rbd in its two parts; a name that an image tells may lack the first. */
export function splitVolume(name = ''): { volume: string | undefined; path: string } {
  const slash = name.indexOf('/')
  return { volume: slash < 0 ? undefined : name.slice(0, slash), path: name.slice(slash + 1) }
}
