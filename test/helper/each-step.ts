// Calls that fail half-way: what a good run tells QEMU is counted, and each of its commands then meets a fate of its own.
//
//   refused   QEMU says no: the call fails in libvirt's way, all is as before, and the same call succeeds afterwards
//   ended     QEMU ends instead of answering, before it has carried the command out or after
//   killed    the shim does; the next one takes the guest over
//   both      QEMU and the shim do; the next one finds what they have left
//
// Behind the latter three all that is kept is as before or as after a good run, and no file is there that nobody knows.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { StandInGuest } from './stand-in-guest.ts'
import { type Order, refuses } from './stand-in-qemu.ts'
import type { StandInStorage } from './stand-in-storage.ts'

/** A guest and its QEMU's block layer. */
export interface Storage {
  guest: StandInGuest
  model: StandInStorage
}

export interface Steps {
  name: string
  /** a guest as it is before the call */
  make(t: Test): Promise<Storage>
  /** @returns its failure, '' of a call that succeeds */
  call(guest: StandInGuest): Promise<string>
  /** commands whose refusal does no harm, so that the call succeeds */
  harmless?: RegExp
  /** commands that come when it cannot be taken back any more: refused, the call fails, but has been done or can be repeated */
  late?: RegExp
  /** files that may stay, whole as they are, though nobody knows of them */
  stays?: RegExp
  /** words of libvirt's own, where QEMU's are not told */
  words?: RegExp
  /** waits for what goes on behind the call */
  settled?(storage: Storage): Promise<void>
}

/** Commands that tell of nothing that is being done. */
const isStep = ({ command }: Order) => command !== 'qmp_capabilities'

const stepsOf = ({ guest }: Storage): string[] => guest.qemu.peer.orders.filter(isStep).map(({ command }) => command)

/** Has something happen instead of the answer to the nth command from now on. */
function atStep({ guest }: Storage, at: number, act: (order: Order) => void): void {
  const { peer } = guest.qemu
  let count = 0
  guest.forget()
  peer.instead = order => (isStep(order) && count++ === at ? act : undefined)
}

/** QEMU does what it is told, and does not answer. */
export const carriedOut = (order: Order): void => {
  order.peer.answer(Object.assign(Object.create(order) as Order, { reply() {}, refuse() {} }))
}

/** Files below a directory that outlive a run. */
function filesIn(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter(
      name =>
        !/(^|\/)log\/|\.lock$|master-key/.test(name) && statSync(join(dir, name), { throwIfNoEntry: false })?.isFile()
    )
    .sort()
}

/** Members of a status that any call changes. */
const VOLATILE = ['generation', 'stateTimeMs', 'reason', 'nodeIndex', 'xml']

/** What is kept of a guest that is shut off. */
export async function kept({ guest }: Storage): Promise<string> {
  const { root, domain, dir } = guest
  const { newDef } = domain
  const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '')
  const files = filesIn(dir).filter(name => !name.endsWith('status.json'))
  const metadata = [root.snapshotDir, root.checkpointDir].flatMap(one =>
    existsSync(one) ? readdirSync(one).map(name => `${name}: ${read(join(one, name))}`) : []
  )
  const seen = {
    files,
    metadata,
    definition: read(root.definition),
    persistent: newDef && (await guest.call('virDomainGetXMLDesc', { flags: ['VIR_DOMAIN_XML_INACTIVE'] })).xml
  }
  const times = /<creationTime>\d+<\/creationTime>/g
  return JSON.stringify(seen, null, 1).replaceAll(dir, '@').replaceAll(guest.qemu.dir, '@').replace(times, '')
}

/** The same of a guest that runs, with all that its shim and QEMU know of it. */
export async function traces(storage: Storage): Promise<string> {
  const { guest, model } = storage
  const status = Object.entries((await guest.status()) ?? {}).filter(([name]) => !VOLATILE.includes(name))
  const { xml } = await guest.call('virDomainGetXMLDesc', { flags: [] })
  const [state] = (await guest.state()).split(' ')
  const { jobs } = guest.domain
  const live = { state, xml, status, async: jobs.async?.kind, held: jobs.held, qemuJobs: [...jobs.qemuJobs.keys()] }
  return `${JSON.stringify({ live, qemu: model.state }, null, 1).replaceAll(guest.dir, '@')}${await kept(storage)}`
}

/** The commands of a good run. */
async function goodRun(t: Test, { name, make, call, settled }: Steps): Promise<{ steps: string[]; after: string }> {
  const storage = await make(t)
  storage.guest.forget()
  t.equal(await call(storage.guest), '', `${name}: it can be done`)
  await settled?.(storage)
  const steps = stepsOf(storage)
  t.comment(`${name}: ${steps.join(' ')}`)
  return { steps, after: await kept(storage) }
}

/** QEMU refuses each step once. */
export async function refuseEach(t: Test, given: Steps): Promise<void> {
  const { name, make, call, harmless, late, words, settled } = given
  const { steps, after } = await goodRun(t, given)
  let storage = await make(t)
  let before = await traces(storage)
  for (const [at, command] of steps.entries()) {
    const step = `${name}: ${at} ${command}`
    const { guest } = storage
    const { peer } = guest.qemu
    atStep(storage, at, refuses())
    const failure = await call(guest)
    await settled?.(storage)
    peer.instead = undefined
    t.same(stepsOf(storage).slice(0, at + 1), steps.slice(0, at + 1), `${step}: as far as that`)
    if (failure === '') {
      t.match(command, harmless ?? /never/, `${step}: it succeeds all the same`)
      storage = await make(t)
      before = await traces(storage)
      continue
    }
    t.match(failure, /^VIR_ERR_\w+ VIR_FROM_QEMU: /, `${step}: libvirt's error`)
    if (!words?.test(failure)) t.match(failure, /the stand-in refuses/, `${step}: QEMU's words`)
    if (late?.test(command) && (await traces(storage)) !== before) {
      if ((await kept(storage)) !== after) t.equal(await call(guest), '', `${step}: it can be repeated`)
      storage = await make(t)
      before = await traces(storage)
    } else t.equal(await traces(storage), before, `${step}: all is as before`)
  }
  storage.guest.forget()
  t.equal(await call(storage.guest), '', `${name}: it can be done afterwards`)
  await settled?.(storage)
  t.same(stepsOf(storage), steps, `${name}: as at first`)
}

export type Fate = 'refused' | 'ended' | 'killed' | 'both'

/** Commands that only ask, or tidy up: who ends there leaves what the command before has left. */
const ASKS = /^(query-|qom-get|job-dismiss|migrate-set-)/

/**
 * QEMU ends at each step, or the shim does; a refusal may leave a guest that is shut off, too.
 * @param isCarriedOut false: it ends before the command was carried out
 */
export async function cutEach(t: Test, given: Steps, fate: Fate, isCarriedOut = true): Promise<void> {
  const { name, make, call } = given
  const { steps, after } = await goodRun(t, given)
  for (const [at, command] of steps.entries()) {
    if (fate !== 'refused' && ASKS.test(command)) continue
    const storage = await make(t)
    const { guest } = storage
    const before = await kept(storage)
    const step = `${name}: ${at} ${command}, ${fate}`
    const met = new Promise<void>(resolve =>
      atStep(storage, at, order => {
        if (fate === 'refused') order.refuse('the stand-in refuses')
        else if (isCarriedOut) carriedOut(order)
        resolve()
      })
    )
    const called = call(guest)
    await met
    if (fate === 'refused') await called
    else if (fate === 'ended') {
      guest.qemu.kill()
      await called
      await guest.ended()
    } else {
      guest.die()
      called.catch(() => undefined)
      if (fate === 'both') {
        guest.qemu.kill()
        await guest.qemu.gone()
      }
      guest.qemu.peer.instead = undefined
      await guest.takeOver()
      if (guest.domain.isActive) await given.settled?.(storage)
    }
    guest.qemu.peer.instead = undefined
    const now = await kept(storage)
    if (now !== after) t.equal(now.replace(given.stays ?? /^$/, ''), before, `${step}: as before, or done`)
    else t.pass(`${step}: done`)
  }
}
