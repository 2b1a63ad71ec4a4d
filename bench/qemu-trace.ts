// QEMU's own time within calls, by its trace: as long as it is at a command, and until a device is gone.
import { readFileSync } from 'node:fs'

/** Trace events a guest is to log. */
const EVENTS = ['handle_qmp_command', 'monitor_qmp_respond', 'monitor_protocol_event_emit'] as const

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
