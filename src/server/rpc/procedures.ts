// Which procedure is which API, and how it looks on the wire.
import { API_FACTS } from '../../conf/api-list.ts'
import type { GuestHandle } from '../../drivers/host.ts'
import { type Layout, layoutOf } from './codec.ts'
import { QEMU_PROGRAM, REMOTE_PROGRAM } from './frame.ts'
import { QEMU_CALLS, QEMU_EVENTS, REMOTE_CALLS, REMOTE_EVENTS } from './remote-protocol.ts'

const CALLS: Record<number, Readonly<Record<number, string>>> = {
  [REMOTE_PROGRAM]: REMOTE_CALLS,
  [QEMU_PROGRAM]: QEMU_CALLS
}
const EVENTS: Record<number, Readonly<Record<number, string>>> = {
  [REMOTE_PROGRAM]: REMOTE_EVENTS,
  [QEMU_PROGRAM]: QEMU_EVENTS
}

/** The API that answers a procedure; where several share one, the first in libvirt's documentation. */
const apis = new Map<string, string>()
for (const [name, { proc, program }] of Object.entries(API_FACTS)) {
  const key = `${program === 'qemu' ? QEMU_PROGRAM : REMOTE_PROGRAM}/${proc}`
  if (proc !== undefined && !apis.has(key)) apis.set(key, name)
}

export interface Procedure extends Layout {
  /** API of the same call, absent for what only the wire knows */
  api: string | undefined
  /** its first argument is a guest, or a snapshot or checkpoint of one */
  onGuest: boolean
}

const GUEST_TYPES = new Set(['dom', 'snapshot', 'checkpoint'])

/** The guest a call of such a procedure is on. */
export function guestOf({ args }: Procedure, given: Readonly<Record<string, unknown>>): GuestHandle {
  const { name, type } = args[0]!
  return (type === 'dom' ? given[name] : (given[name] as { dom: unknown }).dom) as GuestHandle
}

const calls = new Map<string, Procedure | undefined>()
const events = new Map<string, Layout>()

function procedureOf(layout: Layout, api: string | undefined): Procedure {
  return { ...layout, api, onGuest: GUEST_TYPES.has(layout.args[0]?.type ?? '') }
}

/** A call's procedure, undefined for a number that has none around domains. */
export function findProcedure(program: number, number: number): Procedure | undefined {
  const key = `${program}/${number}`
  if (!calls.has(key)) {
    const notation = CALLS[program]?.[number]
    calls.set(key, notation === undefined ? undefined : procedureOf(layoutOf(notation), apis.get(key)))
  }
  return calls.get(key)
}

/** An event's layout; its fields are `args`. */
export function eventLayout(program: number, number: number): Layout {
  const key = `${program}/${number}`
  let layout = events.get(key)
  if (!layout) {
    layout = layoutOf(EVENTS[program]![number]!)
    events.set(key, layout)
  }
  return layout
}
