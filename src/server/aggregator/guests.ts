// The life of guests as their host's connection has it: making them known, starting them from XML, and a shim for each
// guest that somebody wants something of. What is done to a guest is done by its shim.
import { existsSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DomainDef } from '../../conf/domain-def.ts'
import {
  virDomainCreateFlags,
  virDomainDefineFlags,
  virDomainMigrateFlags,
  virDomainSaveRestoreFlags,
  virDomainState
} from '../../conf/enums.ts'
import { type ErrorJson, errorsFrom, VirError } from '../../conf/error.ts'
import { formatJson, parseJson } from '../../conf/json.ts'
import { type GuestHandle, handleOf, type RestoreOptions } from '../../drivers/connection.ts'
import { checkCreatable, type Identity, knownGuest } from '../../drivers/known-guest.ts'
import type { ArrivingGuest } from '../../drivers/method.ts'
import type { MigrationFinished, MigrationPhase, MigrationPrepared } from '../../drivers/migration.ts'
import { errorOfJson } from '../../state/claim.ts'
import { askOn, type RawAnswer } from '../raw-http.ts'
import type { Changes } from './changes.ts'
import type { Discovery } from './discovery.ts'
import { KeyedLock } from './keyed-lock.ts'
import type { Layout } from './layout.ts'
import { listens, reach } from './reach.ts'
import type { KnownGuest, Registry } from './registry.ts'
import { type ShimPlace, type Started, shimPlace, startShim } from './shims.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A start may take QEMU 30 s, and a stop before it as long. */
const CALL_LIMIT_MS = 120_000
/** A disk that reads less of an image is no use. */
const RESTORE_BYTES_PER_MS = 2000
/** A guest in post-copy runs while what is left of its memory comes, and may take its time. */
const POSTCOPY_LIMIT_MS = 24 * 3_600_000
/** One that follows a dead one is there a little later. */
const FOLLOWER_RETRY_MS = 100
/** A new shim answers at once; if it does not, the guest is known a little later. */
const KNOWN_LIMIT_MS = 30_000
const KNOWN_RETRY_MS = 20
/** Longest name of a directory that leaves room for its sockets' names in a socket's path of 107 bytes. */
const DIRECTORY_MAX = 107 - '/libvirt-sock-ro.new'.length

/** Time a restore of an image may take. */
export const restoreMs = (path: string): number =>
  Math.min(Math.ceil((statSync(path, { throwIfNoEntry: false })?.size ?? 0) / RESTORE_BYTES_PER_MS), 2 ** 30)

/** virshimd's options that mean the same as flags of virDomainCreateXML. */
const CREATE_OPTIONS: Partial<Record<keyof typeof virDomainCreateFlags, string>> = {
  VIR_DOMAIN_START_PAUSED: '--paused',
  VIR_DOMAIN_START_VALIDATE: '--validate',
  VIR_DOMAIN_START_RESET_NVRAM: '--reset-nvram'
}

/** The same of virDomainRestoreFlags. */
const RESTORE_OPTIONS: Record<keyof typeof virDomainSaveRestoreFlags, string> = {
  VIR_DOMAIN_SAVE_BYPASS_CACHE: '--bypass-cache',
  VIR_DOMAIN_SAVE_RUNNING: '--running',
  VIR_DOMAIN_SAVE_PAUSED: '--paused',
  VIR_DOMAIN_SAVE_RESET_NVRAM: '--reset-nvram'
}

export interface GuestsOptions {
  layout: Layout
  registry: Registry
  discovery: Discovery
  changes: Changes
  /** virshimd's, for every shim */
  shimOptions: string[]
}

export class Guests {
  readonly #layout: Layout
  readonly #registry: Registry
  readonly #discovery: Discovery
  readonly #changes: Changes
  readonly #shimOptions: string[]
  readonly #lock = new KeyedLock()
  /** told of the place of a shim that could not be started: it may have left something */
  onFailure: (place: string) => void = () => {}
  /** shims that are being started, by place */
  readonly #starting = new Map<string, Promise<Started>>()

  constructor({ layout, registry, discovery, changes, shimOptions }: GuestsOptions) {
    this.#layout = layout
    this.#registry = registry
    this.#discovery = discovery
    this.#changes = changes
    this.#shimOptions = shimOptions
  }

  /** True for a place in our guests directory: its shim is ours to start. */
  isOwn(place: string): boolean {
    return place.startsWith(`${this.#layout.guestsDir}/`)
  }

  /**
   * API socket of a guest's shim, by name or uuid; the shim of a guest that is shut off is started.
   * @throws VIR_ERR_NO_DOMAIN, and why the shim cannot be started
   */
  async socketOf(nameOrUuid: string): Promise<string> {
    const guest = this.#registry.find(nameOrUuid)
    if (!guest) throw fail('VIR_ERR_NO_DOMAIN', `no domain with matching name or uuid '${nameOrUuid}'`)
    const { place, socket } = guest
    if (socket !== undefined && !this.#starting.has(place)) return socket
    const where = shimPlace(this.#layout, place)
    const { apiSocket } = where.root
    // it may be there and not have reported yet, or have been started by somebody else
    if (this.#starting.has(place) || !(await listens(apiSocket))) {
      await this.wake(where).catch(async error => {
        if (!(await listens(apiSocket))) throw error
      })
    }
    return apiSocket
  }

  /** Starts the shim of a guest as it is: shut off, or left by another shim. One that is being started will do. */
  wake(where: ShimPlace): Promise<Started> {
    return this.#starting.get(where.place) ?? this.start(where, ['--inactive'])
  }

  /** Starts the shim of a place, after one that is being started there. */
  start(where: ShimPlace, options: string[], xml?: string, tie?: AbortSignal, moreMs?: number): Promise<Started> {
    const { place } = where
    const before = this.#starting.get(place)?.catch(() => undefined)
    const starting = (async () => {
      await before
      try {
        return await startShim(where, [...this.#shimOptions, ...options], xml, tie, moreMs)
      } catch (error) {
        this.onFailure(place)
        throw error
      }
    })().finally(() => {
      if (this.#starting.get(place) === starting) this.#starting.delete(place)
      this.#discovery.look(basename(place))
    })
    this.#starting.set(place, starting)
    return starting
  }

  /** virDomainDefineXMLFlags. */
  define(xml: string, bits: number): Promise<GuestHandle> {
    return this.#of(xml, async (def, known) => {
      if (known) return this.#call(known, 'virDomainDefineXMLFlags', { xml, flags: bits })
      const { checkDefinable } = await import('../../conf/domain/identity.ts')
      checkDefinable(def)
      const validate = (bits & virDomainDefineFlags.VIR_DOMAIN_DEFINE_VALIDATE) !== 0
      return this.#startNew(def, ['--define', '--inactive', ...(validate ? ['--validate'] : [])], xml)
    })
  }

  /** virDomainCreateXML. @param connection its client's, aborted when it closes */
  create(xml: string, bits: number, connection?: AbortSignal): Promise<GuestHandle> {
    const tie = (bits & virDomainCreateFlags.VIR_DOMAIN_START_AUTODESTROY) !== 0 ? connection : undefined
    return this.#of(xml, async (def, known) => {
      if (known) {
        checkCreatable(known.report)
        return this.#call(known, 'virDomainCreateXML', { xmlDesc: xml, flags: bits }, tie)
      }
      const options = Object.entries(CREATE_OPTIONS).filter(
        ([flag]) => (bits & virDomainCreateFlags[flag as keyof typeof virDomainCreateFlags]) !== 0
      )
      return this.#startNew(
        def,
        options.map(([, option]) => option),
        xml,
        tie
      )
    })
  }

  /** virDomainRestoreParams: the image says whose memory it has. */
  async restore(options: RestoreOptions): Promise<GuestHandle> {
    const { path, flags = 0, xml, channels } = options
    const { readImageFile } = await import('../../drivers/qemu/save/image.ts')
    const moreMs = restoreMs(path)
    return this.#of(readImageFile(path).xml, async (def, known) => {
      if (known) {
        checkCreatable(known.report)
        const params = { file: path, dxml: xml, 'parallel.channels': channels }
        await this.#call(known, 'virDomainRestoreParams', { params, flags }, undefined, moreMs)
        return this.#active(known)
      }
      const asked = [
        ...Object.entries(RESTORE_OPTIONS).flatMap(([flag, option]) =>
          (flags & virDomainSaveRestoreFlags[flag as keyof typeof virDomainSaveRestoreFlags]) === 0 ? [] : [option]
        ),
        ...(channels === undefined ? [] : [`--parallel-channels=${channels}`])
      ]
      return this.#startNew(def, ['--restore', path, ...asked], xml, undefined, moreMs)
    })
  }

  /** virDomainMigratePrepare3Params: the shim of a guest that is new here is started, and waits for it. */
  prepareMigration(phase: MigrationPhase, api: string, connection?: AbortSignal): Promise<MigrationPrepared> {
    return this.arriving({ ...phase.params, flags: phase.flags }, async ({ uuid }) => {
      const answer = await this.#ask(uuid, api, phaseArguments(phase), connection)
      const { cookie_out: cookie, uri_out: uri } = answer as { cookie_out: string; uri_out?: string }
      return { cookie: Buffer.from(cookie, 'base64'), uri }
    })
  }

  /** Calls the shim of a guest that comes; that of one that is new here is started for it. */
  async arriving<T>(guest: ArrivingGuest, call: (guest: GuestHandle) => Promise<T>): Promise<T> {
    const { destination_xml: xml, destination_name: name, flags } = guest
    if (xml === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', 'no domain XML passed')
    const named = name === undefined ? xml : await renamed(xml, name)
    if ((flags & virDomainMigrateFlags.VIR_MIGRATE_POSTCOPY_RESUME) !== 0) return call(await this.#halfOf(named))
    return this.#of(named, async (def, known) => {
      if (known) {
        // its shim knows whether it can take the guest: what is reported may be older
        return call(handleOf(known.report))
      }
      return call(await this.#startNew(def, ['--await-migration'], named))
    })
  }

  /** The guest of that XML, which is here in part. @throws VIR_ERR_NO_DOMAIN */
  async #halfOf(xml: string): Promise<GuestHandle> {
    const { name } = (await import('../../conf/domain-xml.ts')).parseDomain(xml)
    const known = this.#registry.byName(name)
    if (!known) throw fail('VIR_ERR_NO_DOMAIN', `no domain with matching name '${name}'`)
    return handleOf(known.report)
  }

  /** virDomainMigrateFinish3Params, of the guest that waits under its name. */
  finishMigration(phase: MigrationPhase & { cancelled: boolean }, api: string): Promise<MigrationFinished> {
    const { params, flags } = phase
    return this.arrived({ ...params, flags }, async ({ uuid }) => {
      const answer = resultOf(await this.#send(uuid, api, phaseArguments(phase), undefined, moreFor(flags)))
      const { dom, cookie_out: cookie } = answer as { dom: GuestHandle; cookie_out: string }
      return { dom, cookie: Buffer.from(cookie, 'base64') }
    })
  }

  /** Calls the shim of a guest that waits under its name, or has come. */
  async arrived<T>(guest: ArrivingGuest, call: (guest: GuestHandle) => Promise<T>): Promise<T> {
    const { destination_name: name, flags } = guest
    if (name === undefined) throw fail('VIR_ERR_NO_DOMAIN', 'missing domain name')
    const known = this.#registry.byName(name)
    if (!known) throw fail('VIR_ERR_NO_DOMAIN', `no domain with matching name '${name}'`)
    const here = handleOf(known.report)
    const moreMs = moreFor(flags)
    // a shim that dies has a follower, which knows whether the guest has come; whoever waits does not
    for (const deadline = Date.now() + CALL_LIMIT_MS + moreMs; ; await sleep(FOLLOWER_RETRY_MS)) {
      try {
        return await call(here)
      } catch (error) {
        if (error instanceof VirError) throw error
        if (Date.now() > deadline || !this.#registry.byUuid(here.uuid)) throw unanswered(error as Error)
      }
    }
  }

  /** Does something with the guest that XML is of; nothing else happens to its name and uuid meanwhile. */
  async #of<T>(xml: string, work: (def: DomainDef, known: KnownGuest | undefined) => Promise<T>): Promise<T> {
    const [{ parseDomain }, { checkName }] = await Promise.all([
      import('../../conf/domain-xml.ts'),
      import('../../conf/domain/identity.ts')
    ])
    const def = parseDomain(xml)
    checkName(def)
    const { name, uuid } = def
    return this.#lock.run([`name ${name}`, `uuid ${uuid}`], async () => work(def, this.known(def)))
  }

  /**
   * The guest with that name and uuid, undefined for a new one.
   * @throws VIR_ERR_OPERATION_FAILED where only one of the two is a known guest's
   */
  known(wanted: Identity): KnownGuest | undefined {
    const alike = [this.#registry.byUuid(wanted.uuid), this.#registry.byName(wanted.name)]
    const found = knownGuest(
      wanted,
      alike.flatMap(guest => (guest ? [{ guest, name: guest.report.name, uuid: guest.report.uuid }] : []))
    )
    return found?.guest
  }

  async #startNew(
    def: DomainDef,
    options: string[],
    xml?: string,
    tie?: AbortSignal,
    moreMs?: number
  ): Promise<GuestHandle> {
    const where = this.#newPlace(def)
    const started = await this.start(where, options, xml, tie, moreMs)
    if (started.state === 'ended') throw fail('VIR_ERR_OPERATION_FAILED', 'domain ended while it was started')
    const { name, uuid, id } = started
    await this.#untilKnown(where.place, { name, uuid, id })
    return { name, uuid, id }
  }

  /** The caller may ask for a new guest at once, and is to find it as it is. */
  async #untilKnown(place: string, { uuid, id }: GuestHandle): Promise<void> {
    const deadline = Date.now() + KNOWN_LIMIT_MS
    const isKnown = () => {
      const guest = this.#registry.at(place)
      if (guest?.socket === undefined || guest.report.uuid !== uuid) return false
      const isOff = guest.report.state === virDomainState.VIR_DOMAIN_SHUTOFF
      return guest.report.id === id && isOff === (id === -1)
    }
    while (!isKnown() && !(await this.#discovery.refreshAt(place)) && Date.now() < deadline) {
      await sleep(KNOWN_RETRY_MS)
    }
  }

  /** A guest that has just gone on, as its shim has it now. */
  async #active({ report: { uuid } }: KnownGuest): Promise<GuestHandle> {
    await this.#discovery.refresh(uuid)
    const known = this.#registry.byUuid(uuid)
    if (!known) throw fail('VIR_ERR_OPERATION_FAILED', 'domain ended while it was restored')
    return handleOf(known.report)
  }

  /** The directory of a new guest is called as the guest is, if that can be and is free; else by its uuid. */
  #newPlace({ name, uuid }: DomainDef): ShimPlace {
    const { guestsDir, definitionsDir } = this.#layout
    const named = join(guestsDir, name)
    if (definitionsDir !== undefined) return { ...shimPlace(this.#layout, named), args: [] }
    const isUsable = !name.startsWith('.') && Buffer.byteLength(named) <= DIRECTORY_MAX
    const isTaken = this.#registry.at(named) !== undefined || existsSync(shimPlace(this.#layout, named).root.definition)
    return shimPlace(this.#layout, isUsable && !isTaken ? named : join(guestsDir, uuid))
  }

  /** Calls an API of a guest's shim that gives a domain. @param tie what it does is to end when this aborts */
  async #call(
    { report: { uuid } }: KnownGuest,
    api: string,
    args: object,
    tie?: AbortSignal,
    moreMs = 0
  ): Promise<GuestHandle> {
    return ((await this.#ask(uuid, api, args, tie, moreMs)) as { dom: GuestHandle }).dom
  }

  /** Calls an API of a guest's shim. @param tie what it does is to end when this aborts */
  async #ask(uuid: string, api: string, args: object, tie?: AbortSignal, moreMs = 0): Promise<unknown> {
    const answer = await this.#send(uuid, api, args, tie, moreMs).catch(error => {
      throw unanswered(error)
    })
    return resultOf(answer)
  }

  /** Whoever asks next, on whatever connection, finds the guest as the call has left it. @throws Error when there is no answer */
  async #send(uuid: string, api: string, args: object, tie?: AbortSignal, moreMs = 0): Promise<RawAnswer> {
    const changed = this.#changes.begin(uuid)
    try {
      const shim = await reach(() => this.socketOf(uuid))
      const call = {
        method: 'POST',
        path: `/v1/${api}`,
        body: formatJson(args),
        timeoutMs: CALL_LIMIT_MS + moreMs
      } as const
      return await (tie ? (await import('../tied-call.ts')).askTied(shim, call, tie) : askOn(shim, call))
    } finally {
      changed()
    }
  }
}

/** Time a guest that comes with these flags may take more than others, ms. */
const moreFor = (flags: number): number =>
  (flags & virDomainMigrateFlags.VIR_MIGRATE_POSTCOPY) !== 0 ? POSTCOPY_LIMIT_MS : 0

const unanswered = (error: Error) =>
  error instanceof VirError
    ? error
    : fail('VIR_ERR_OPERATION_FAILED', `the guest's shim does not answer: ${error.message}`, error)

/** @throws what the shim has answered */
function resultOf({ status, body }: RawAnswer): unknown {
  const answer = parseJson(body)
  if (status === 200) return answer
  throw errorOfJson(answer as ErrorJson)
}

/** A phase of a migration, as HTTP has its arguments. */
const phaseArguments = ({ cookie, cancelled, ...asked }: MigrationPhase & { cancelled?: boolean }): object => ({
  ...asked,
  ...(cookie && { cookie_in: Buffer.from(cookie).toString('base64') }),
  ...(cancelled !== undefined && { cancelled: Number(cancelled) })
})

/** The definition of a guest that is to have another name. */
async function renamed(xml: string, name: string): Promise<string> {
  const { formatXml, parseXml } = await import('../../conf/xml.ts')
  const domain = parseXml(xml, '(domain_definition)')
  for (const child of domain.children) {
    if (typeof child === 'object' && child.name === 'name') child.children = [name]
  }
  return formatXml(domain)
}
