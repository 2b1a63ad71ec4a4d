// URIs of images on servers, read and written as libxml2 does (virURIParse, qemuBlockStorageSourceGetURI, virURIFormat).
import { errorsFrom } from '../../../conf/error.ts'
import type { StorageSourceOf } from '../../../conf/storage/source.ts'
import { hasVolume, splitVolume } from '../../../conf/storage/source-network.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Bytes a path may have as they are. */
const PLAIN = /[A-Za-z0-9\-_.!~*'()/;@&=+$,]/

const escapePath = (path: string): string =>
  [...Buffer.from(path)]
    .map(byte => {
      const char = String.fromCharCode(byte)
      return PLAIN.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
    })
    .join('')

/** The URI QEMU opens an image by. @throws VIR_ERR_INTERNAL_ERROR unless there is exactly one host */
export function storageUri({ protocol, hosts, name, query }: StorageSourceOf<'network'>): string {
  const [host] = hosts
  if (!host || hosts.length !== 1) throw fail('VIR_ERR_INTERNAL_ERROR', `protocol '${protocol}' accepts only one host`)
  const isTcp = host.transport === 'tcp'
  const server = host.name?.includes(':') ? `[${host.name}]` : (host.name ?? '')
  const port = isTcp && host.port ? `:${host.port}` : ''
  const { volume, path } = splitVolume(name)
  const whole =
    name === undefined ? '' : hasVolume(protocol) ? `/${volume}/${path}` : `${name.startsWith('/') ? '' : '/'}${name}`
  const scheme = isTcp ? protocol : `${protocol}+${host.transport}`
  return `${scheme}://${server}${port}${escapePath(whole)}${query === undefined ? '' : `?${query}`}`
}

/** Parts of a URI that says where an image is, unescaped but for the query. */
export interface StorageUri {
  scheme: string
  user?: string
  /** name or address, without brackets */
  server?: string
  /** 0: not told */
  port: number
  path: string
  query?: string
}

//                 1 scheme               2 authority       3 path  4 query        5 fragment
const URI = /^([A-Za-z][A-Za-z0-9+.-]*):(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s
//                        1 user      2 server                3 port
const AUTHORITY = /^(?:([^@]*)@)?(\[[^\]]*\]|[^:[\]]*)(?::(\d+))?$/s
/** Characters of RFC 3986's segments, those of paths and queries with it. */
const CHARS = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[\da-fA-F]{2})*$/
const INT_MAX = 0x7fffffff

/** The parts of a URI; undefined for what is none (xmlParseURI). */
export function parseStorageUri(text: string): StorageUri | undefined {
  const [, scheme, authority = '', path = '', query, fragment = ''] = URI.exec(text) ?? []
  const [, user, host, port = '0'] = AUTHORITY.exec(authority) ?? []
  if (scheme === undefined || host === undefined || Number(port) > INT_MAX) return undefined
  const server = host.replace(/^\[(.*)\]$/s, '$1')
  if (![user ?? '', server, path, query ?? '', fragment].every(part => CHARS.test(part))) return undefined
  return {
    scheme,
    ...(user !== undefined && { user: unescaped(user) }),
    ...(server !== '' && { server: unescaped(server) }),
    port: server === '' ? 0 : Number(port),
    path: unescaped(path),
    ...(query !== undefined && { query })
  }
}

/** Bytes for their numbers; text of no encoding stays as it is. */
const unescaped = (text: string): string =>
  text.replace(/(?:%[\da-fA-F]{2})+/g, found => Buffer.from(found.replaceAll('%', ''), 'hex').toString())
