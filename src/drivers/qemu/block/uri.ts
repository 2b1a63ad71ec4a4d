// URIs of images on servers, escaped as libxml2's xmlSaveUri does (qemuBlockStorageSourceGetURI, virURIFormat).
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
