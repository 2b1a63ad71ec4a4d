// Where a guest is, asked by the side it has left of the side it has gone to. libvirt's protocol ends with a client's word:
// when that is lost, its source cannot know whether the guest runs elsewhere, and libvirt lets it run twice or stand still.
// Two sides of ours settle it between them: the destination answers at a port of its own, which its first cookie tells.
//
//     source: TOKEN\n        destination: here\n | coming\n | gone\n
//     source: TOKEN left\n   the guest has left, nobody will ask any more
//
// The answer is good for who asks because the guest cannot change it behind his back: `here` is said once the CPUs have
// run, `gone` once they never will. That is the shim's; a second port is its QEMU's, which says nothing but listens while
// there is one, whatever has become of shim and aggregator (ask-witness.ts).
import { timingSafeEqual } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { virDomainRunningReason } from '../../../conf/enums.ts'
import { randomBytes } from '../../../conf/random.ts'
import { element, type XmlElement } from '../../../conf/xml.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { WitnessPlace } from '../domain/run.ts'
import type { ChardevBackend } from '../parts/chardev.ts'

export type Whereabouts = 'here' | 'coming' | 'gone'

const { VIR_DOMAIN_RUNNING_POSTCOPY_FAILED } = virDomainRunningReason

/** What a source says behind the token once it has let the guest go. */
export const LEFT = ' left'

const TOKEN_BYTES = 16
const TOKEN_CHARS = TOKEN_BYTES * 2
/** Whoever connects says what he wants within this time. */
export const QUESTION_MS = 5000
const QUESTION_MAX = 64
const ASKERS_MAX = 16
/**
 * A guest that has come is spoken for as long where its source has never asked, which then is none of ours; else until that
 * says that it has left, however long the network is cut: it would take silence for the guest's end.
 */
const KEPT_MS = 600_000
/** The same of one that has not come, unless it has been asked before. */
const GONE_KEPT_MS = 10_000

const NAME = 'virshim'
/** The chardev that listens in QEMU. */
const CHARDEV = 'virshim-witness'

/** The element of a cookie that says it; libvirt reads over what it does not know. */
export const witnessElement = ({ port, qemu, token }: WitnessPlace): XmlElement => element(NAME, { port, qemu, token })

/** What a cookie says of it, if anything. */
export function witnessIn(unknown: readonly XmlElement[] = []): WitnessPlace | undefined {
  const { port, qemu, token = '' } = unknown.find(({ name }) => name === NAME)?.attributes ?? {}
  const [ours, its] = [portIn(port), portIn(qemu)]
  if (ours === undefined || !/^[0-9a-f]{32}$/.test(token)) return undefined
  return { port: ours, ...(its !== undefined && { qemu: its }), token }
}

function portIn(text = ''): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  return port > 0 && port < 65536 ? port : undefined
}

export const newToken = (): string => randomBytes(TOKEN_BYTES).toString('hex')

const witnesses = new WeakMap<QemuDomain, Witness>()

/** Answers for a guest that comes, or has come; in place of an earlier witness. @param host to listen on */
export async function openWitness(domain: QemuDomain, place: WitnessPlace, host?: string): Promise<void> {
  closeWitness(domain)
  const witness = new Witness(domain, place)
  witnesses.set(domain, witness)
  await witness.listen(host).catch(error => {
    // the guest can do without: its source then knows as much as libvirt's
    domain.log.warn({ err: error, port: place.port }, 'nobody can be told where the guest is')
    closeWitness(domain)
  })
}

/**
 * Has QEMU listen at its port of the witness, for as long as there is that QEMU.
 * @returns false where it does not: then nobody there refusing means nothing
 */
export async function haveQemuListen({ qmp, log }: QemuDomain, port: number, host: string): Promise<boolean> {
  const data = { addr: { type: 'inet', data: { host, port: String(port) } }, server: true, wait: false } as const
  const backend: ChardevBackend = { type: 'socket', data }
  try {
    await qmp.execute('chardev-add', { id: CHARDEV, backend })
    return true
  } catch (error) {
    log.warn({ err: error, port }, 'nobody can be told whether there is a QEMU')
    return false
  }
}

/** The guest has come: it is spoken for a while yet. */
export const keepWitness = (domain: QemuDomain): void => witnesses.get(domain)?.keep()

/** Settles once somebody has been told that the guest has not come, or nobody wants to know. */
export const lastQuestion = async (domain: QemuDomain): Promise<void> => {
  await witnesses.get(domain)?.asked(GONE_KEPT_MS)
  closeWitness(domain)
}

export function closeWitness(domain: QemuDomain): void {
  witnesses.get(domain)?.close()
  witnesses.delete(domain)
}

/** Gives its ports back. */
async function endWitness(domain: QemuDomain, token: string): Promise<void> {
  closeWitness(domain)
  const { run, monitor } = domain
  if (!run || run.arrival?.witness?.token !== token) return
  const { qemu } = run.arrival.witness
  if (qemu !== undefined) await monitor?.execute('chardev-remove', { id: CHARDEV })
  if (domain.run === run) run.arrival = undefined
  domain.changed()
}

class Witness {
  readonly #domain: QemuDomain
  readonly #place: WitnessPlace
  readonly #server: Server
  readonly #askers = new Set<Socket>()
  #told: (answer: Whereabouts) => void = () => {}
  #timer: NodeJS.Timeout | undefined
  #hasCome = false
  /** its source has said that it will ask no more */
  #hasLeft = false

  constructor(domain: QemuDomain, place: WitnessPlace) {
    this.#domain = domain
    this.#place = place
    this.#server = createServer(socket => this.#asker(socket))
    this.#server.maxConnections = ASKERS_MAX
    this.#server.unref()
  }

  listen(host?: string): Promise<void> {
    return new Promise((done, refuse) => {
      this.#server.once('error', refuse)
      this.#server.listen({ port: this.#place.port, ...(host !== undefined && { host }) }, () => {
        this.#server.off('error', refuse)
        this.#server.on('error', () => undefined)
        done()
      })
    })
  }

  /** Answers for as long as anybody may ask, and no longer. */
  keep(): void {
    this.#hasCome = true
    clearTimeout(this.#timer)
    if (this.#hasLeft) this.#end()
    else if (!this.#place.asked) this.#timer = setTimeout(() => this.#end(), KEPT_MS).unref()
  }

  /** Notes that its source is one that asks. */
  #isAsked(): void {
    clearTimeout(this.#timer)
    if (this.#place.asked) return
    this.#place.asked = true
    if (this.#domain.run) this.#domain.save()
  }

  #end(): void {
    endWitness(this.#domain, this.#place.token).catch(error =>
      this.#domain.log.warn({ err: error }, 'ports of a migration that is over stay taken')
    )
  }

  /** Settles once it has said that the guest is gone, or after so long. */
  asked(ms: number): Promise<void> {
    return new Promise(done => {
      const timer = setTimeout(done, ms)
      this.#told = answer => {
        if (answer !== 'gone') return
        clearTimeout(timer)
        done()
      }
    })
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#server.close()
    for (const asker of this.#askers) asker.destroy()
  }

  get #whereabouts(): Whereabouts {
    // whatever has become of it: what its source has is older than its disks
    if (this.#hasCome) return 'here'
    const { isActive, isRunning, reason, jobs, run } = this.#domain
    if (!isActive || run?.phase === 'stopping') return 'gone'
    // what it lacks is at its source alone
    const isHalf = isRunning && reason === VIR_DOMAIN_RUNNING_POSTCOPY_FAILED
    return jobs.async?.kind === 'migration-in' || isHalf ? 'coming' : 'here'
  }

  #asker(socket: Socket): void {
    this.#askers.add(socket)
    let question = Buffer.alloc(0)
    socket.setTimeout(QUESTION_MS, () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.once('close', () => this.#askers.delete(socket))
    socket.on('data', chunk => {
      question = Buffer.concat([question, chunk])
      if (question.length > QUESTION_MAX) return socket.destroy()
      const end = question.indexOf('\n')
      if (end < 0) return
      const token = question.subarray(0, TOKEN_CHARS)
      if (end < TOKEN_CHARS || !timingSafeEqual(token, Buffer.from(this.#place.token))) return socket.destroy()
      const answer = this.#whereabouts
      this.#isAsked()
      if (question.toString('latin1', TOKEN_CHARS, end) === LEFT) this.#hasLeft = true
      socket.end(`${answer}\n`, () => {
        this.#told(answer)
        if (this.#hasLeft && this.#hasCome) this.#end()
      })
    })
  }
}
