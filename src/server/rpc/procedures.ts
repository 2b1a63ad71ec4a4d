// Procedures: the API of each, and its form on the wire.
import { API_FACTS } from '../../conf/api-list.ts'
import type { GuestHandle } from '../../drivers/connection.ts'
import { type Layout, layoutOf, type WireField } from './codec.ts'
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
for (const [name, { proc, program, steps }] of Object.entries(API_FACTS)) {
  const key = `${program === 'qemu' ? QEMU_PROGRAM : REMOTE_PROGRAM}/${proc}`
  if (proc !== undefined && !steps && !apis.has(key)) apis.set(key, name)
}

export interface Procedure extends Layout {
  /** libvirt's function of the same call: an API, or one of its own */
  api: string
  /** its first argument is a guest, or a snapshot or checkpoint of one */
  onGuest: boolean
  /** the arguments, cut behind the first */
  first: WireField[]
  others: WireField[]
}

/** Words of procedure names that C functions do not write as Xxx. */
const WORDS: Record<string, string> = {
  NWFILTER: 'NWFilter',
  NWFILTERS: 'NWFilters',
  XML: 'XML',
  UUID: 'UUID',
  MAC: 'MAC',
  SCSI: 'SCSI',
  WWN: 'WWN',
  DHCP: 'DHCP'
}

/** The C function of a procedure that is no API of the table. */
export const functionName = (procedure: string): string =>
  `vir${procedure
    .split('_')
    .map(word => WORDS[word] ?? word[0] + word.slice(1).toLowerCase())
    .join('')}`

const GUEST_TYPES = new Set(['dom', 'snapshot', 'checkpoint'])

/** The guest a call of such a procedure is on. */
export function guestOf({ args }: Procedure, given: Readonly<Record<string, unknown>>): GuestHandle {
  const { name, type } = args[0]!
  return (type === 'dom' ? given[name] : (given[name] as { dom: unknown }).dom) as GuestHandle
}

/** by program, then by number */
const calls = new Map([REMOTE_PROGRAM, QEMU_PROGRAM].map(program => [program, new Map<number, Procedure>()]))
const events = new Map<string, Layout>()

function procedureOf(layout: Layout, api = functionName(layout.name)): Procedure {
  const { args } = layout
  const onGuest = GUEST_TYPES.has(args[0]?.type ?? '')
  return { ...layout, api, onGuest, first: args.slice(0, 1), others: args.slice(1) }
}

/** A call's procedure, undefined for a number that has none around domains. */
export function findProcedure(program: number, number: number): Procedure | undefined {
  const known = calls.get(program)
  let procedure = known?.get(number)
  if (!procedure) {
    const notation = CALLS[program]?.[number]
    if (notation === undefined) return undefined
    procedure = procedureOf(layoutOf(notation), apis.get(`${program}/${number}`))
    known!.set(number, procedure)
  }
  return procedure
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
