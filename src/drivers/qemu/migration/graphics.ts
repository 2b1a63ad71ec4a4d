// Clients of the guest's SPICE server, which follow it to its destination (qemuMigrationSrcGraphicsRelocate).
import { errorsFrom } from '../../../conf/error.ts'
import { int } from '../../../conf/scalar.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import { parseStorageUri } from '../block/uri.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { GRAPHICS_TYPES, type MigrationCookie } from './cookie.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const WILDCARDS: readonly string[] = ['0.0.0.0', '::']
const MOVED = 'SPICE_MIGRATE_COMPLETED'
/** Time clients may take once the guest has gone: its QEMU has a last word for them. */
const MOVE_LIMIT_MS = 30_000

/** A server that clients are to turn to; what of it is not known is absent. */
interface Server {
  type: string
  host?: string
  port?: number
  tlsPort?: number
  tlsSubject?: string
}

/** Parameters of a URI by their names in lower case. */
const parametersOf = (query = ''): Map<string, string> =>
  new Map(
    query.split(/[&;]/).map(pair => {
      const [, name = '', value = ''] = /^([^=]*)=?(.*)$/s.exec(pair)!
      return [decoded(name).toLowerCase(), decoded(value)]
    })
  )

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** The part of the server that a caller says by a URI. @throws VIR_ERR_INVALID_ARG, VIR_ERR_INTERNAL_ERROR */
function serverIn(text: string): Server {
  const uri = parseStorageUri(text)
  if (!uri) throw errorsFrom('VIR_FROM_URI')('VIR_ERR_INTERNAL_ERROR', `Unable to parse URI ${text}`)
  if (!GRAPHICS_TYPES.includes(uri.scheme)) throw fail('VIR_ERR_INVALID_ARG', `unknown graphics type ${uri.scheme}`)
  const parameters = parametersOf(uri.query)
  const given = parameters.get('tlsport')
  const tlsPort = given === undefined ? undefined : int.parse(given)
  if (given !== undefined && tlsPort === undefined) {
    throw fail('VIR_ERR_INVALID_ARG', `invalid tlsPort number: ${given}`)
  }
  const tlsSubject = parameters.get('tlssubject')
  return {
    type: uri.scheme,
    ...(uri.server !== undefined && { host: uri.server }),
    ...(uri.port > 0 && { port: uri.port }),
    ...(tlsPort !== undefined && { tlsPort }),
    ...(tlsSubject !== undefined && { tlsSubject })
  }
}

/** The server the destination tells of. */
function serverOf({ graphics, hostname }: MigrationCookie): Server | undefined {
  if (!graphics) return undefined
  const { listen, ...rest } = graphics
  return { ...rest, host: WILDCARDS.includes(listen) ? hostname : listen }
}

/**
 * Has QEMU tell the clients of its SPICE server where the guest is going to be; VNC's cannot be told.
 * @param cookie the destination's
 * @param uri of the server as clients are to see it (VIR_MIGRATE_PARAM_GRAPHICS_URI), which comes before the cookie
 * @returns true if some may follow: clientsMoved waits for them
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_INTERNAL_ERROR; the migration can go on all the same
 */
export async function relocateGraphics(
  { qmp }: QemuDomain,
  cookie: MigrationCookie,
  uri: string | undefined
): Promise<boolean> {
  const server = { ...serverOf(cookie), ...(uri !== undefined && serverIn(uri)) }
  const { type, host, port = -1, tlsPort = -1, tlsSubject } = server
  if (type !== 'spice' || (port <= 0 && tlsPort <= 0)) return false
  await qmp.execute('client_migrate_info', {
    protocol: type,
    hostname: host ?? cookie.hostname,
    port,
    'tls-port': tlsPort,
    ...(tlsSubject !== undefined && { 'cert-subject': tlsSubject })
  })
  return true
}

/** Jobs that clients of a SPICE server follow to the other side. */
const following = new WeakSet<AsyncJob>()

export const isFollowed = (job: AsyncJob): boolean => following.has(job)

/** Clients that cannot be told lose the guest, which goes all the same. */
export async function tellClients(
  domain: QemuDomain,
  job: AsyncJob,
  heard: MigrationCookie,
  uri: string | undefined
): Promise<void> {
  try {
    if (await job.nested(() => relocateGraphics(domain, heard, uri))) following.add(job)
  } catch (error) {
    domain.log.warn({ err: error }, 'unable to provide data for graphics client relocation')
  }
}

/** Settles when QEMU has let the clients go, before it may end (qemuMigrationSrcWaitForSpice). */
export async function clientsMoved(job: AsyncJob): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>(done => {
    timer = setTimeout(done, MOVE_LIMIT_MS)
  })
  const moved = job
    .until(() => job.told(MOVED))
    .then(
      () => undefined,
      () => undefined
    )
  await Promise.race([moved, late])
  clearTimeout(timer)
}
