// Where a guest is, asked by the side it has left of the side it has gone to. libvirt's protocol ends with a client's word:
// when that is lost, its source cannot know whether the guest runs elsewhere, and libvirt lets it run twice or stand still.
// Two sides of ours settle it between them: the destination answers at a port of its own, which its first cookie tells.
//
//     source: TOKEN\n        destination: here\n | coming\n | gone\n
//
// The answer is good for who asks because the guest cannot change it behind his back: `here` is said once the CPUs have
// run, `gone` once they never will.
import { timingSafeEqual } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { virDomainRunningReason } from '../../../conf/enums.ts'
import { randomBytes } from '../../../conf/random.ts'
import { element, type XmlElement } from '../../../conf/xml.ts'
import { connectTo } from '../../../host/connect-to.ts'
import { KEEPALIVE_COUNT, KEEPALIVE_INTERVAL_MS } from '../../../host/keepalive.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { WitnessPlace } from '../domain/run.ts'

export type Whereabouts = 'here' | 'coming' | 'gone'

const { VIR_DOMAIN_RUNNING_POSTCOPY_FAILED } = virDomainRunningReason

const ANSWERS: readonly string[] = ['here', 'coming', 'gone'] satisfies Whereabouts[]

const TOKEN_BYTES = 16
const TOKEN_CHARS = TOKEN_BYTES * 2
/** Whoever connects says what he wants within this time. */
const QUESTION_MS = 5000
const ASKERS_MAX = 16
/** A guest that has come is spoken for as long: its source asks when it is told nothing, or was cut off. */
const KEPT_MS = 600_000
/** The same of one that has not come, unless it has been asked before. */
const GONE_KEPT_MS = 10_000

const NAME = 'virshim'

/** The element of a cookie that says it; libvirt reads over what it does not know. */
export const witnessElement = ({ port, token }: WitnessPlace): XmlElement => element(NAME, { port, token })

/** What a cookie says of it, if anything. */
export function witnessIn(unknown: readonly XmlElement[] = []): WitnessPlace | undefined {
  const { port = '', token = '' } = unknown.find(({ name }) => name === NAME)?.attributes ?? {}
  const isSound = /^\d{1,5}$/.test(port) && Number(port) > 0 && Number(port) < 65536 && /^[0-9a-f]{32}$/.test(token)
  return isSound ? { port: Number(port), token } : undefined
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

/** The guest has come: it is spoken for a while yet. */
export const keepWitness = (domain: QemuDomain): void => witnesses.get(domain)?.keep(KEPT_MS)

/** Settles once somebody has been told that the guest has not come, or nobody wants to know. */
export const lastQuestion = async (domain: QemuDomain): Promise<void> => {
  await witnesses.get(domain)?.asked(GONE_KEPT_MS)
  closeWitness(domain)
}

export function closeWitness(domain: QemuDomain): void {
  witnesses.get(domain)?.close()
  witnesses.delete(domain)
}

class Witness {
  readonly #domain: QemuDomain
  readonly #place: WitnessPlace
  readonly #server: Server
  readonly #askers = new Set<Socket>()
  #told: (answer: Whereabouts) => void = () => {}
  #timer: NodeJS.Timeout | undefined

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

  /** Answers for so long, and no longer. */
  keep(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      closeWitness(this.#domain)
      const { run } = this.#domain
      if (run?.arrival?.witness?.token !== this.#place.token) return
      run.arrival = undefined
      this.#domain.changed()
    }, ms).unref()
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
      if (question.length < TOKEN_CHARS + 1) return
      if (!timingSafeEqual(question.subarray(0, TOKEN_CHARS), Buffer.from(this.#place.token))) return socket.destroy()
      const answer = this.#whereabouts
      socket.end(`${answer}\n`, () => this.#told(answer))
    })
  }
}

const ANSWER_MAX = 16

/** Asks once. @throws Error when there is no answer */
async function ask(host: string, { port, token }: WitnessPlace): Promise<Whereabouts> {
  const socket = await connectTo({ host, port }, QUESTION_MS)
  return new Promise((done, refuse) => {
    let text = ''
    socket.setTimeout(QUESTION_MS, () => socket.destroy(new Error('no answer')))
    socket.on('error', refuse)
    socket.on('data', chunk => {
      text = (text + chunk.toString('latin1')).slice(0, ANSWER_MAX)
    })
    socket.once('close', () => {
      const answer = text.trim()
      if (ANSWERS.includes(answer)) done(answer as Whereabouts)
      else refuse(new Error('no answer'))
    })
    socket.resume()
    socket.write(`${token}\n`)
  })
}

const ASK_PAUSE_MS = 250
/** A host that answers, but where nobody has listened for so long, has no guest of ours: a shim that died has a follower. */
const NOBODY_MS = 15_000

/**
 * Asks until it is known whether the guest runs at its destination: true if it does. A host that does not answer at all is
 * asked on, and the guest stands still.
 * @param isOver nobody wants to know any more
 */
export async function isElsewhere(
  { host, ...place }: WitnessPlace & { host: string },
  isOver: () => boolean
): Promise<boolean | undefined> {
  let refusedSinceMs: number | undefined
  while (!isOver()) {
    try {
      const answer = await ask(host, place)
      if (answer !== 'coming') return answer === 'here'
      refusedSinceMs = undefined
    } catch (error) {
      if (!isRefused(error)) refusedSinceMs = undefined
      else refusedSinceMs ??= Date.now()
      if (refusedSinceMs !== undefined && Date.now() - refusedSinceMs > NOBODY_MS) return false
    }
    await sleep(ASK_PAUSE_MS)
  }
  return undefined
}

/**
 * Calls `lost` once a destination that has answered says nothing any more: its host is gone, or no way leads there. TCP
 * would have QEMU wait for a quarter of an hour for what it sends.
 * @returns ends it
 */
export function watchDestination({ host, ...place }: WitnessPlace & { host: string }, lost: () => void): () => void {
  let silent: number | undefined
  let isOver = false
  const look = async () => {
    try {
      await ask(host, place)
      silent = 0
    } catch (error) {
      // a shim that has died has a follower
      if (isRefused(error)) silent = 0
      else if (silent !== undefined) silent++
    }
    if (isOver || silent === undefined || silent <= KEEPALIVE_COUNT) return
    stop()
    lost()
  }
  const timer = setInterval(look, KEEPALIVE_INTERVAL_MS).unref()
  const stop = () => {
    isOver = true
    clearInterval(timer)
  }
  return stop
}

const isRefused = (error: unknown) =>
  (((error as Error).cause ?? error) as NodeJS.ErrnoException).code === 'ECONNREFUSED'
