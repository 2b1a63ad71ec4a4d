// <qemu-migration>: what the two sides of a migration tell each other beside the definition, in libvirt's own form
// (qemu_migration_cookie.c). Each step of the protocol brings one from the other side and may answer with its own.
import type { GraphicsDef } from '../../../conf/devices/graphics.ts'
import type { CpuDef } from '../../../conf/domain/cpu.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { formatCookieCpu, parseCookieCpu } from '../../../conf/save-cookie.ts'
import { int, longlong, type Scalar, ulonglong, uuid } from '../../../conf/scalar.ts'
import { type TypedParams, type TypedValue, typed } from '../../../conf/wire.ts'
import {
  childElements,
  element,
  firstChild,
  formatXml,
  parseXml,
  textOf,
  type XmlElement,
  xpathAttribute
} from '../../../conf/xml.ts'

const failAs = errorsFrom('VIR_FROM_QEMU')
const fail = (message: string) => failAs('VIR_ERR_INTERNAL_ERROR', message)

/** What a cookie may have, in libvirt's order (qemuMigrationCookieFlags). */
export const COOKIE_FEATURES = [
  'graphics',
  'lockstate',
  'persistent',
  'network',
  'nbd',
  'statistics',
  'memory-hotplug',
  'cpu-hotplug',
  'cpu',
  'allowReboot',
  'capabilities',
  'block-dirty-bitmaps'
] as const
export type CookieFeature = (typeof COOKIE_FEATURES)[number]

/** The one SPICE server whose clients can follow the guest. */
export interface CookieGraphics {
  type: GraphicsDef['type']
  port: number
  /** of a SPICE server; -1: it has none */
  tlsPort?: number
  /** address it listens on */
  listen: string
  /** distinguished name of its certificate */
  tlsSubject?: string
}

/** What a port of the guest's has to be given at its new switch. */
export interface CookieInterface {
  /** place among the guest's interfaces */
  index: number
  /** type of its `<virtualport>` */
  portType: string
  portData?: string
}

/** The server that disks are copied to. */
export interface CookieNbd {
  /** absent where the destination has no server yet */
  port?: number
  /** disks by target; bytes, for whoever is to make them */
  disks: { target: string; capacity: bigint }[]
}

/** What the migration has come to at its writer; times in ms, those of the clock since the epoch, 0 for none. */
export interface CookieStatistics {
  started: bigint
  /** the guest's CPUs stopped */
  stopped: bigint
  /** the cookie was written */
  sent: bigint
  /** how far the writer's clock is behind that of whom it had the last cookie from, the way included */
  delta?: bigint
  elapsed: bigint
  /** VIR_DOMAIN_JOB_* of memory, disks and compression, downtime and setup_time */
  counts: TypedParams
}

/** A migration capability of the writer's QEMU; auto: it is on without being asked for. */
export interface CookieCapability {
  name: string
  auto: boolean
}

/** Bitmaps of a disk that go along, each by the name that both sides know it by. */
export interface CookieBitmaps {
  target: string
  bitmaps: { name: string; alias: string }[]
}

/** A cookie; what it does not tell of is absent. */
export interface MigrationCookie {
  /** the guest, by the name it has at its source */
  name: string
  uuid: string
  /** its writer's host */
  hostname: string
  hostUuid: string
  /** what its reader has to know, beside what comes with the members that are there */
  mandatory?: CookieFeature[]
  graphics?: CookieGraphics
  /** leases are the lock driver's own words */
  lockState?: { driver: string; leases?: string }
  /** XML of the definition that is to be kept */
  persistent?: string
  network?: CookieInterface[]
  nbd?: CookieNbd
  statistics?: CookieStatistics
  /** the CPU QEMU has made, where the definition has another */
  cpu?: CpuDef
  capabilities?: CookieCapability[]
  bitmaps?: CookieBitmaps[]
  /** elements of a newer libvirt, for the answer */
  unknown?: XmlElement[]
}

/** A member that is an element. They are in libvirt's order of reading and writing. */
interface Section<T> {
  feature: CookieFeature
  element: string
  /** its reader must know the feature */
  isMandatory?: true
  read(node: XmlElement, root: XmlElement): T | undefined
  write(value: T): XmlElement | undefined
}

type Sections = Required<Omit<MigrationCookie, 'name' | 'uuid' | 'hostname' | 'hostUuid' | 'mandatory' | 'unknown'>>

/** Types of `<graphics>` (virDomainGraphicsType). */
export const GRAPHICS_TYPES: readonly string[] = [
  'sdl',
  'vnc',
  'rdp',
  'desktop',
  'spice',
  'egl-headless',
  'dbus'
] satisfies GraphicsDef['type'][]

/** Counts in the order they have in the element; those of a group are there if its first is. */
const COUNTS: readonly (readonly [name: string, group?: string])[] = [
  ['downtime', 'downtime'],
  ['setup_time', 'setup_time'],
  ['memory_total'],
  ['memory_processed'],
  ['memory_remaining'],
  ['memory_bps'],
  ['memory_constant', 'memory_constant'],
  ['memory_normal', 'memory_constant'],
  ['memory_normal_bytes', 'memory_constant'],
  ['memory_dirty_rate'],
  ['memory_iteration'],
  ['memory_postcopy_requests'],
  ['memory_page_size'],
  ['disk_total'],
  ['disk_processed'],
  ['disk_remaining'],
  ['disk_bps'],
  ['compression_cache', 'compression_cache'],
  ['compression_bytes', 'compression_cache'],
  ['compression_pages', 'compression_cache'],
  ['compression_cache_misses', 'compression_cache'],
  ['compression_overflow', 'compression_cache'],
  ['auto_converge_throttle']
]

/** Counts that are not told of while they are 0. */
const UNLESS_ZERO: readonly string[] = ['memory_bps', 'memory_page_size', 'disk_bps', 'auto_converge_throttle']

const SUMS = ['total', 'processed', 'remaining'] as const

/** A cookie's statistics as those of a job, in their order there (qemuDomainMigrationJobDataToParams). */
export function jobStats({ elapsed, delta, counts }: CookieStatistics): TypedParams {
  const of = (name: string) => BigInt(counts[name]?.value ?? 0)
  const net = (name: string, time: bigint | undefined): TypedParams =>
    time !== undefined && delta !== undefined && delta >= 0n && time > delta
      ? { [name]: typed.ullong(time - delta) }
      : {}
  const { downtime, setup_time: setup, ...rest } = counts
  const told = Object.entries(rest).filter(([name]) => of(name) !== 0n || !UNLESS_ZERO.includes(name))
  return {
    ...net('time_elapsed_net', elapsed),
    ...(downtime && { downtime, ...net('downtime_net', of('downtime')) }),
    ...(setup && { setup_time: setup }),
    ...Object.fromEntries(SUMS.map(name => [`data_${name}`, typed.ullong(of(`memory_${name}`) + of(`disk_${name}`))])),
    ...Object.fromEntries(told)
  }
}

/**
 * The source's statistics where the guest has come to: its times have gone on until now (qemuMigrationDstFinishFresh).
 * @param receivedMs when the cookie came, ms since the epoch as `nowMs`
 */
export function arrivedStatistics(
  { sent, started, stopped, counts, ...rest }: CookieStatistics,
  receivedMs: number,
  nowMs = Date.now()
): CookieStatistics {
  const now = BigInt(nowMs)
  // clocks that are apart tell nothing
  const since = (time: bigint) => (time > 0n && time <= now ? now - time : undefined)
  const [elapsed, downtime] = [since(started), since(stopped)]
  return {
    ...rest,
    started: elapsed === undefined ? 0n : started,
    stopped: downtime === undefined ? 0n : stopped,
    sent,
    ...(sent > 0n && { delta: BigInt(receivedMs) - sent }),
    ...(elapsed !== undefined && { elapsed }),
    counts: { ...counts, ...(downtime !== undefined && { downtime: typed.ullong(downtime) }) }
  }
}

/** The text of the first child of that name; an empty one is none. */
function childText(node: XmlElement, name: string): string | undefined {
  const found = firstChild(node, name)
  return (found && textOf(found)) || undefined
}

const parsed = <T>(type: Scalar<T>, text: string | undefined): T | undefined =>
  text === undefined ? undefined : type.parse(text)

/** The children of all elements of that name. */
const grandchildren = (root: XmlElement, name: string, inner: string): XmlElement[] =>
  childElements(root, name).flatMap(node => childElements(node, inner))

/** @throws VIR_ERR_INTERNAL_ERROR for what is missing or malformed */
function demand<T>(value: T | undefined, missing: string): T {
  if (value === undefined) throw fail(missing)
  return value
}

const missingAttribute = (name: string) => `missing ${name} attribute in migration data`

const SECTIONS: { [K in keyof Sections]: Section<Sections[K]> } = {
  graphics: {
    feature: 'graphics',
    element: 'graphics',
    read(_, root) {
      const of = (name: string) => xpathAttribute(root, 'graphics', name)
      const type = demand(of('type'), missingAttribute('type'))
      if (!GRAPHICS_TYPES.includes(type)) throw fail(`unknown graphics type ${type}`)
      const port = demand(parsed(int, of('port')), missingAttribute('port'))
      const tlsPort = type === 'spice' ? demand(parsed(int, of('tlsPort')), missingAttribute('tlsPort')) : undefined
      const listen = demand(of('listen'), missingAttribute('listen'))
      const certs = grandchildren(root, 'graphics', 'cert').filter(({ attributes: { info } }) => info === 'subject')
      const tlsSubject = certs.map(({ attributes: { value } }) => value).find(value => value)
      return {
        type: type as GraphicsDef['type'],
        port,
        ...(tlsPort !== undefined && { tlsPort }),
        listen,
        ...(tlsSubject !== undefined && { tlsSubject })
      }
    },
    write({ type, port, tlsPort, listen, tlsSubject }) {
      const cert = tlsSubject === undefined ? undefined : element('cert', { info: 'subject', value: tlsSubject })
      return element('graphics', { type, port, listen, tlsPort: type === 'spice' ? (tlsPort ?? -1) : undefined }, [
        cert
      ])
    }
  },
  lockState: {
    feature: 'lockstate',
    element: 'lockstate',
    isMandatory: true,
    read(node) {
      const driver = demand(node.attributes.driver || undefined, 'Missing lock driver name in migration cookie')
      const leases = childText(node, 'leases')
      return { driver, ...(leases !== undefined && { leases }) }
    },
    write: ({ driver, leases }) =>
      leases === undefined ? undefined : element('lockstate', { driver }, [element('leases', {}, [leases])])
  },
  persistent: {
    feature: 'persistent',
    element: 'domain',
    isMandatory: true,
    read(node, root) {
      if (childElements(root, 'domain').length > 1) throw fail('Too many domain elements in migration cookie')
      return formatXml(node)
    },
    write: xml => parseXml(xml)
  },
  network: {
    feature: 'network',
    element: 'network',
    read: (_, root) =>
      grandchildren(root, 'network', 'interface').map((node, place) => {
        const portData = childText(node, 'portdata')
        const portType = demand(node.attributes.vporttype, missingAttribute('vporttype'))
        const index = parsed(int, node.attributes.index) ?? place
        return { index, portType, ...(portData !== undefined && { portData }) }
      }),
    write(ports) {
      const nodes = ports.map(({ index, portType: vporttype, portData }) =>
        element('interface', { index, vporttype }, [
          portData === undefined ? undefined : element('portdata', {}, [portData])
        ])
      )
      return nodes.length > 0 ? element('network', {}, nodes) : undefined
    }
  },
  nbd: {
    feature: 'nbd',
    element: 'nbd',
    read(_, root) {
      const given = xpathAttribute(root, 'nbd', 'port')
      const port = parsed(int, given)
      if (given !== undefined && port === undefined) throw fail(`Malformed nbd port '${given}'`)
      const disks = grandchildren(root, 'nbd', 'disk').map(({ attributes: { target, capacity } }) => ({
        target: demand(target || undefined, 'Malformed disk target'),
        capacity: demand(parsed(ulonglong, capacity || undefined), `Malformed disk capacity: '${capacity || '<null>'}'`)
      }))
      return { ...(!!port && { port }), disks }
    },
    write: ({ port, disks }) =>
      element(
        'nbd',
        { port: port || undefined },
        disks.map(({ target, capacity }) => element('disk', { target, capacity }))
      )
  },
  statistics: {
    feature: 'statistics',
    element: 'statistics',
    read(node) {
      const told = <T>(name: string, type: Scalar<T>) => parsed(type, childText(node, name))
      const time = (name: string) => told(name, ulonglong) ?? 0n
      const delta = told('delta', longlong)
      const counts: TypedParams = {}
      for (const [name, group] of COUNTS) {
        if (group === undefined || told(group, ulonglong) !== undefined) counts[name] = countOf(name, time(name))
      }
      return {
        started: time('started'),
        stopped: time('stopped'),
        sent: time('sent'),
        ...(delta !== undefined && { delta }),
        elapsed: time('time_elapsed'),
        counts
      }
    },
    write({ started, stopped, sent, delta, elapsed, counts }) {
      const lines: [name: string, value: TypedValue['value']][] = [
        ['started', started],
        ['stopped', stopped],
        ['sent', sent]
      ]
      if (delta !== undefined) lines.push(['delta', delta])
      lines.push(['time_elapsed', elapsed])
      for (const [name, group] of COUNTS) {
        if (group === undefined || counts[group]) lines.push([name, counts[name]?.value ?? 0])
      }
      return element(
        'statistics',
        {},
        lines.map(([name, value]) => element(name, {}, [String(value)]))
      )
    }
  },
  cpu: { feature: 'cpu', element: 'cpu', read: (_, root) => parseCookieCpu(root), write: formatCookieCpu },
  capabilities: {
    feature: 'capabilities',
    element: 'capabilities',
    read: node =>
      childElements(node, 'cap').map(({ attributes: { name, auto } }) => ({
        name: demand(name, 'missing migration capability name'),
        auto: auto === 'yes'
      })),
    write: list =>
      element(
        'capabilities',
        {},
        list.map(({ name, auto }) => element('cap', { name, auto: auto ? 'yes' : 'no' }))
      )
  },
  bitmaps: {
    feature: 'block-dirty-bitmaps',
    element: 'blockDirtyBitmaps',
    read(_, root) {
      const malformed = 'malformed <blockDirtyBitmaps> in migration cookie'
      return grandchildren(root, 'blockDirtyBitmaps', 'disk').map(disk => ({
        bitmaps: childElements(disk, 'bitmap').map(({ attributes: { name, alias } }) => ({
          name: demand(name, malformed),
          alias: demand(alias, malformed)
        })),
        target: demand(disk.attributes.target, malformed)
      }))
    },
    write(disks) {
      const nodes = disks
        .filter(({ bitmaps }) => bitmaps.length > 0)
        .map(({ target, bitmaps }) =>
          element(
            'disk',
            { target },
            bitmaps.map(({ name, alias }) => element('bitmap', { name, alias }))
          )
        )
      return nodes.length > 0 ? element('blockDirtyBitmaps', {}, nodes) : undefined
    }
  }
}

const countOf = (name: string, value: bigint): TypedValue =>
  name === 'auto_converge_throttle' ? typed.int(Number(value)) : typed.ullong(value)

const ALL = Object.entries(SECTIONS) as [keyof Sections, Section<unknown>][]

const KNOWN: ReadonlySet<string> = new Set([
  ...['name', 'uuid', 'hostname', 'hostuuid', 'feature', 'allowReboot'],
  ...Object.values(SECTIONS).map(({ element: name }) => name)
])

/** The text of a cookie as the protocol brings it; undefined for none. @throws VIR_ERR_INTERNAL_ERROR without a NUL */
export function decodeCookie(bytes: Uint8Array | undefined): string | undefined {
  if (!bytes || bytes.length === 0) return undefined
  if (bytes.at(-1) !== 0) throw fail('Migration cookie was not NULL terminated')
  return Buffer.from(bytes.subarray(0, bytes.indexOf(0))).toString()
}

/** A cookie's text for the protocol. */
export const encodeCookie = (text: string): Uint8Array => Buffer.from(`${text}\0`)

/** The guest a cookie must be of, as its reader knows it. */
export interface CookieReader {
  /** the name it has at its source */
  name: string
  uuid: string
  /** the reader's host, which must not be the writer's; absent: it may be */
  hostUuid?: string
}

/**
 * Reads a cookie; undefined for none (qemuMigrationCookieParse).
 * @param features those the reader means to look at: others are left out, and must not be mandatory
 * @throws VIR_ERR_INTERNAL_ERROR for another guest's, one of the same host, and what is malformed or not understood;
 *   VIR_ERR_XML_DETAIL
 */
export function parseCookie(
  text: string | undefined,
  reader: CookieReader,
  features: readonly CookieFeature[]
): MigrationCookie | undefined {
  if (text === undefined) return undefined
  const root = parseXml(text, '(qemu_migration_cookie)')
  const cookie: MigrationCookie = { ...sender(root, reader), mandatory: mandatoryOf(root, features) }
  for (const [key, { feature, element: name, read }] of ALL) {
    const node = features.includes(feature) ? firstChild(root, name) : undefined
    const value = node && read(node, root)
    if (value !== undefined) Object.assign(cookie, { [key]: value })
  }
  const unknown = childElements(root).filter(({ name, namespace }) => namespace !== undefined || !KNOWN.has(name))
  if (unknown.length > 0) cookie.unknown = unknown
  return cookie
}

/** Guest and host of whoever has written it. @throws VIR_ERR_INTERNAL_ERROR if they are not those they should be */
function sender(
  root: XmlElement,
  reader: CookieReader
): Pick<MigrationCookie, 'name' | 'uuid' | 'hostname' | 'hostUuid'> {
  const told = (name: string) => demand(childText(root, name), `missing ${name} element in migration data`)
  const name = told('name')
  if (name !== reader.name) throw fail(`Incoming cookie data had unexpected name ${name} vs ${reader.name}`)
  const guest = told('uuid')
  if (guest !== reader.uuid) throw fail(`Incoming cookie data had unexpected UUID ${guest} vs ${reader.uuid}`)
  const hostname = told('hostname')
  const host = told('hostuuid')
  const hostUuid = demand(uuid.parse(host), 'malformed hostuuid element in migration data')
  if (hostUuid === reader.hostUuid) throw fail(`Attempt to migrate guest to the same host ${host}`)
  return { name, uuid: guest, hostname, hostUuid }
}

/** Features the cookie wants to be understood. @throws VIR_ERR_INTERNAL_ERROR for those that are not */
function mandatoryOf(root: XmlElement, features: readonly CookieFeature[]): CookieFeature[] {
  return childElements(root, 'feature').map(({ attributes }) => {
    const name = demand(attributes.name, 'missing feature name')
    const feature = COOKIE_FEATURES.find(known => known === name)
    if (!feature) throw fail(`Unknown migration cookie feature ${name}`)
    if (!features.includes(feature)) throw fail(`Unsupported migration cookie feature ${name}`)
    return feature
  })
}

/** A cookie's text (qemuMigrationCookieXMLFormat). */
export function formatCookie(cookie: MigrationCookie): string {
  const { name, uuid: guest, hostname, hostUuid, mandatory = [], unknown = [] } = cookie
  const there = ALL.filter(([key]) => cookie[key] !== undefined)
  const demanded = new Set([
    ...mandatory,
    ...there.flatMap(([, { feature, isMandatory }]) => (isMandatory ? feature : []))
  ])
  const root = element('qemu-migration', {}, [
    element('name', {}, [name]),
    element('uuid', {}, [guest]),
    element('hostname', {}, [hostname]),
    element('hostuuid', {}, [hostUuid]),
    ...COOKIE_FEATURES.filter(feature => demanded.has(feature)).map(feature => element('feature', { name: feature })),
    ...there.map(([key, { write }]) => write(cookie[key])),
    ...unknown
  ])
  return formatXml(root)
}
