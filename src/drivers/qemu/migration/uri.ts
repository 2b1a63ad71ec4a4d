// Addresses of QEMUs that wait for a guest: `tcp:HOST:PORT`, as libvirt's own are, or URIs.
import { errorsFrom } from '../../../conf/error.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export interface MigrationUri {
  scheme: string
  /** without the brackets of an IPv6 address; '' for none */
  host: string
  /** 0: to be chosen */
  port: number
  path: string
  /** it has `//` */
  isWellFormed: boolean
}

/** @throws VIR_ERR_INTERNAL_ERROR for what is no URI (qemuMigrationAnyParseURI) */
export function parseMigrationUri(text: string): MigrationUri {
  const isWellFormed = !/^tcp:(?!\/\/)/.test(text)
  const parts =
    /^(?:([a-z][a-z0-9+.-]*):)?(?![a-z][a-z0-9+.-]*:)(?:\/\/(?:[^@/]*@)?(\[[^\]/]*\]|[^:/?#]*)(?::(\d*))?(?=[/?#]|$))?(?!\/\/)([^?#]*)/i.exec(
      isWellFormed ? text : `tcp://${text.slice('tcp:'.length)}`
    )
  const [, scheme = '', host = '', port = '', path = ''] = parts ?? []
  if (!parts || Number(port) > 65535) throw fail('VIR_ERR_INTERNAL_ERROR', `Unable to parse URI ${text}`)
  return { scheme: scheme.toLowerCase(), host: host.replace(/^\[|\]$/g, ''), port: Number(port), path, isWellFormed }
}

/** A host in a URI or address of QEMU's: an IPv6 address has brackets. */
export const hostInUri = (host: string): string => (host.includes(':') ? `[${host}]` : host)
