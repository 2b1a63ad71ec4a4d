// What a guest's own side has to say of it in a cookie: each part where its step of the protocol tells of it
// (qemuMigrationCookieFormat).
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { type CpuDef, hasCpuModel } from '../../../conf/domain/cpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { isStorageEmpty } from '../../../conf/storage/source.ts'
import { hostUuid } from '../../../host/identity.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import { effectiveNode } from '../block/nodes.ts'
import type { QemuConfig } from '../context.ts'
import { actualInterface } from '../device/interface/network-port.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type {
  CookieFeature,
  CookieGraphics,
  CookieInterface,
  CookieNbd,
  CookieReader,
  CookieStatistics,
  MigrationCookie
} from './cookie.ts'
import { cookieCapabilities, type Party } from './params.ts'

const failAs = errorsFrom('VIR_FROM_QEMU')
const fail = (message: string, cause?: unknown) => failAs('VIR_ERR_INTERNAL_ERROR', message, cause)

/** There is no lock manager; libvirt's for that case. */
const LOCK_DRIVER = 'nop'

const NO_UUID = '00000000-0000-0000-0000-000000000000'

/** The host a cookie is written on. */
export const thisHost = (): Pick<MigrationCookie, 'hostname' | 'hostUuid'> => ({
  hostname: hostname(),
  hostUuid: hostUuid() ?? NO_UUID
})

/** The guest a cookie must be of; it may come from this host, where there are other roots. */
export const readerOf = ({ name, uuid }: Pick<QemuDomain, 'name' | 'uuid'>, sourceName = name): CookieReader => ({
  name: sourceName,
  uuid
})

/** What the migration has come to here, for the other side to reckon with. */
export function statisticsOf({ sinceMs, stoppedMs = 0, data }: AsyncJob): CookieStatistics {
  return {
    started: BigInt(sinceMs),
    stopped: BigInt(stoppedMs),
    sent: BigInt(Date.now()),
    elapsed: BigInt(data.elapsedMs),
    counts: data.stats ?? {}
  }
}

/** What only the caller knows; the guest's name where it was another at its source. */
type Given = Partial<MigrationCookie>

/**
 * A cookie of the guest.
 * @param features those it is to tell of; of a guest that does not run only those of its definition can be
 * @param given members it has beside them; `nbd.port` is the caller's, the disks are not
 * @throws VIR_ERR_INTERNAL_ERROR for a certificate that cannot be read, or with QEMU's words
 */
export async function ownCookie(
  domain: QemuDomain,
  party: Party,
  features: readonly CookieFeature[],
  given: Given = {}
): Promise<MigrationCookie> {
  const { def, context, name, uuid } = domain
  const has = (feature: CookieFeature) => features.includes(feature)
  const graphics = has('graphics') ? spiceOf(def, context.config) : undefined
  const network = has('network') && def.devices.interfaces.length > 0 ? portsOf(def) : undefined
  const cpu = has('cpu') ? madeCpu(def) : undefined
  const [disks, capabilities] = await Promise.all([
    has('nbd') ? capacities(domain) : undefined,
    has('capabilities') ? cookieCapabilities(domain, party) : undefined
  ])
  return {
    name,
    uuid,
    ...thisHost(),
    mandatory: features.filter(feature => feature.endsWith('-hotplug')),
    ...(graphics && { graphics }),
    ...(has('lockstate') && { lockState: { driver: LOCK_DRIVER } }),
    ...(network && { network }),
    ...(cpu && { cpu }),
    ...(capabilities && { capabilities }),
    ...given,
    ...(disks && { nbd: { ...given.nbd, disks } })
  }
}

/** The first SPICE server with a port (qemuMigrationCookieAddGraphics). */
function spiceOf({ devices }: DomainDef, config: QemuConfig): CookieGraphics | undefined {
  for (const dev of devices.graphics) {
    if (dev.type !== 'spice') continue
    const [listen] = dev.listens
    if (listen?.type !== 'address' && listen?.type !== 'network') continue
    return {
      type: 'spice',
      port: dev.port ?? 0,
      tlsPort: config.spiceTls ? (dev.tlsPort ?? 0) : -1,
      listen: listen.address ?? config.spiceListen,
      ...(config.spiceTls && { tlsSubject: subjectOf(join(config.spiceTlsX509CertDir, 'server-cert.pem')) })
    }
  }
  return undefined
}

/** The distinguished name in a certificate. @throws VIR_ERR_INTERNAL_ERROR */
function subjectOf(path: string): string {
  try {
    return new X509Certificate(readFileSync(path)).subject.split('\n').join(',')
  } catch (error) {
    const isThere = !(error as NodeJS.ErrnoException).syscall
    throw fail(
      isThere
        ? `cannot load cert data from ${path}: ${(error as Error).message}`
        : `unable to read server cert ${path}`,
      error
    )
  }
}

/** Ports of the guest's that a switch has settings for (qemuMigrationCookieNetworkAlloc). */
const portsOf = ({ devices }: DomainDef): CookieInterface[] =>
  devices.interfaces.flatMap((dev, index) => {
    const type = actualInterface(dev).virtualPort?.type
    return type === undefined ? [] : [{ index, portType: type }]
  })

/** The CPU as QEMU has made it; none where only a topology was asked for (qemuMigrationCookieAddCPU). */
const madeCpu = ({ cpu }: DomainDef): CpuDef | undefined => (hasCpuModel(cpu) ? cpu : undefined)

interface QmpNode {
  'node-name'?: string
  image?: { 'virtual-size'?: number | bigint }
}

/** Disks with a medium, and how large it is (qemuMigrationCookieAddNBD). */
async function capacities({ def, qmp, context }: QemuDomain): Promise<CookieNbd['disks']> {
  const disks = def.devices.disks.filter(({ source }) => !isStorageEmpty(source))
  if (disks.length === 0) return []
  const nodes = await qmp.execute<QmpNode[]>('query-named-block-nodes', { flat: true })
  const sizes = new Map(nodes.map(({ 'node-name': name, image }) => [name, image?.['virtual-size']]))
  return disks.flatMap(({ target, source }) => {
    const capacity = sizes.get(effectiveNode(source, context.qemu))
    return target?.dev === undefined || capacity === undefined
      ? []
      : [{ target: target.dev, capacity: BigInt(capacity) }]
  })
}
