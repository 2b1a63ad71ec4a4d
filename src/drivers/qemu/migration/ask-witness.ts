// What a source asks the other side's witness (witness.ts).
//
//   its shim       its QEMU's port     the guest
//   here           –                   runs there
//   gone           –                   goes on here
//   coming         –                   nobody knows yet
//   refuses        listens             nobody knows yet: shim and aggregator are dead, QEMU is not
//   refuses        refuses             goes on here, once it has been so for a while, where both have answered before
//   anything else                      nobody knows yet
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectTo } from '../../../host/connect-to.ts'
import { KEEPALIVE_COUNT, KEEPALIVE_INTERVAL_MS } from '../../../host/keepalive.ts'
import type { AskedPlace } from '../domain/run.ts'
import { LEFT, QUESTION_MS, type Whereabouts } from './witness.ts'

const ANSWERS: readonly string[] = ['here', 'coming', 'gone'] satisfies Whereabouts[]
const ANSWER_MAX = 16

/** Asks its shim once. @throws Error when there is no answer */
async function ask({ host, port, token }: AskedPlace, more = ''): Promise<Whereabouts> {
  const socket = await connectTo({ host, port }, QUESTION_MS)
  return new Promise((done, refuse) => {
    let text = ''
    const timer = setTimeout(() => socket.destroy(new Error('no answer')), QUESTION_MS)
    socket.on('error', refuse)
    socket.on('data', chunk => {
      text = (text + chunk.toString('latin1')).slice(0, ANSWER_MAX)
    })
    socket.once('close', () => {
      clearTimeout(timer)
      const answer = text.trim()
      if (ANSWERS.includes(answer)) done(answer as Whereabouts)
      else refuse(new Error('no answer'))
    })
    socket.resume()
    socket.write(`${token}${more}\n`)
  })
}

/** Settles where its QEMU listens. @throws VIR_ERR_SYSTEM_ERROR */
async function knock({ host, qemu }: AskedPlace): Promise<void> {
  if (qemu === undefined) return
  const socket = await connectTo({ host, port: qemu }, QUESTION_MS)
  // QEMU listens for others at once
  socket.resetAndDestroy()
  if (!socket.closed) await once(socket, 'close')
}

const isRefused = (error: unknown) =>
  (((error as Error).cause ?? error) as NodeJS.ErrnoException).code === 'ECONNREFUSED'

/** Nobody listens there. */
const isClosed = (attempt: Promise<unknown>): Promise<boolean> => attempt.then(() => false, isRefused)

/**
 * True for a place where both shim and QEMU answer: one that refuses to later has ended, and is not a firewall's word.
 */
export async function answers(place: AskedPlace): Promise<boolean> {
  if (place.qemu === undefined) return false
  return Promise.all([ask(place), knock(place)]).then(
    () => true,
    () => false
  )
}

/** Time to tell a destination that its source has ended: it is reached, or keeps its ports for as long as the guest. */
const TELL_MS = 1000

/** Tells it that nobody will ask any more, if it hears that. */
export async function tellLeft(place: AskedPlace | undefined): Promise<void> {
  if (!place) return
  const told = ask(place, LEFT).catch(() => undefined)
  await Promise.race([told, sleep(TELL_MS, undefined, { ref: false })])
}

const ASK_PAUSE_MS = 250
/** A host that answers, but where nobody has listened for so long, has no guest of ours: a shim that died has a follower. */
const NOBODY_MS = 15_000

/**
 * Asks until it is known whether the guest runs at its destination: true if it does. A host that does not answer at all is
 * asked on, as is one whose QEMU is there yet, and the guest stands still.
 * @param isOver nobody wants to know any more
 */
export async function isElsewhere(place: AskedPlace, isOver: () => boolean): Promise<boolean | undefined> {
  let refusedSinceMs: number | undefined
  while (!isOver()) {
    try {
      const answer = await ask(place)
      if (answer !== 'coming') return answer === 'here'
      refusedSinceMs = undefined
    } catch (error) {
      const isNobody = place.heard === true && isRefused(error) && (await isClosed(knock(place)))
      refusedSinceMs = isNobody ? (refusedSinceMs ?? Date.now()) : undefined
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
export function watchDestination(place: AskedPlace, lost: () => void): () => void {
  let silent: number | undefined
  let isOver = false
  const look = async () => {
    try {
      await ask(place)
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
