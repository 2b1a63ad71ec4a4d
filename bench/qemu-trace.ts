// QEMU's own time within calls, by its trace: as long as it is at a command, and until a device is gone; a guest's way from
// one QEMU to another.
import { readFileSync } from 'node:fs'

/** Trace events a guest is to log. */
const EVENTS = [
  'handle_qmp_command',
  'monitor_qmp_respond',
  'monitor_protocol_event_emit',
  'runstate_set',
  'migrate_set_state'
] as const

/** Arguments that have QEMU trace its monitor into a file. */
export const traceArguments = (file: string): string[] => ['-D', file, ...EVENTS.flatMap(event => ['-trace', event])]

interface Traced {
  /** ms since the epoch */
  atMs: number
  event: string
  text: string
}

/** `PID@SECONDS:EVENT TEXT` */
const LINE = /^\d+@([\d.]+):(\w+) (.*)$/

function readTrace(file: string): Traced[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.flatMap(line => {
    const [, seconds, event, text] = LINE.exec(line) ?? []
    return seconds === undefined ? [] : [{ atMs: Number(seconds) * 1000, event: event!, text: text! }]
  })
}

/** QEMU's part of each span of time, ms. @param spans begin and end, ms since the epoch */
export function qemuParts(file: string, spans: readonly (readonly [number, number])[]): number[] {
  const trace = readTrace(file)
  return spans.map(([began, ended]) => partOf(trace.filter(({ atMs }) => atMs >= began && atMs <= ended)))
}

function partOf(trace: readonly Traced[]): number {
  let total = 0
  let underWay = 0
  let since = 0
  let removalSince: number | undefined
  for (const { atMs, event, text } of trace) {
    if (event === 'handle_qmp_command') {
      if (removalSince === undefined && text.includes('"device_del"')) removalSince = atMs
      if (underWay++ === 0) since = atMs
    } else if (event === 'monitor_qmp_respond' && underWay > 0) {
      if (--underWay === 0) total += atMs - since
    }
  }
  const gone = trace.findLast(({ event }) => event === 'monitor_protocol_event_emit')
  return removalSince === undefined || !gone ? total : total + untilGone(trace, removalSince, gone.atMs)
}

/** Time from the answer to device_del until the last of the device is gone. */
function untilGone(trace: readonly Traced[], askedMs: number, goneMs: number): number {
  const answered = trace.find(({ event, atMs }) => event === 'monitor_qmp_respond' && atMs >= askedMs)
  return Math.max(0, goneMs - (answered?.atMs ?? goneMs))
}

/** A guest's way from one QEMU to another. */
export interface Switchover {
  /** ms from the stop of its CPUs there to their start here */
  pausedMs: number
  /** part of it in which the source's QEMU sent what was left, ms */
  sendingMs: number
  /** commands that both QEMUs had meanwhile */
  commands: number
}

/** @throws Error for a guest that has not gone that way */
export function switchover(source: string, destination: string): Switchover {
  const [from, to] = [readTrace(source), readTrace(destination)]
  const moment = (trace: Traced[], event: string, state: string, what: string) => {
    const found = trace.findLast(traced => traced.event === event && traced.text.endsWith(state))
    if (!found) throw new Error(`${what}: not in QEMU's trace`)
    return found.atMs
  }
  const stoppedMs = moment(from, 'runstate_set', '(finish-migrate)', 'the stop of the CPUs')
  const startedMs = moment(to, 'runstate_set', '(running)', 'their start')
  const sendsMs = moment(from, 'migrate_set_state', ' device', 'the switch')
  const sentMs = moment(from, 'migrate_set_state', ' completed', 'the end')
  const isWithin = ({ event, atMs }: Traced) => event === 'handle_qmp_command' && atMs >= stoppedMs && atMs <= startedMs
  return {
    pausedMs: startedMs - stoppedMs,
    sendingMs: sentMs - sendsMs,
    commands: [...from, ...to].filter(isWithin).length
  }
}
