// -rtc and the timers that have options of their own
import type { Command } from './command.ts'
import { keyValue } from './command.ts'

export function clockArgs(command: Command): void {
  const { clock } = command.def
  const rtc = clock.timers.find(({ name }) => name === 'rtc')
  const base =
    clock.offset === 'localtime' || clock.offset === 'timezone'
      ? 'localtime'
      : clock.offset === 'variable' || clock.offset === 'absolute'
        ? startTime(command)
        : 'utc'
  const driftfix = rtc?.tickpolicy === 'catchup' ? 'slew' : undefined
  command.add('-rtc', keyValue('', { base, clock: rtc?.track === 'guest' ? 'vm' : undefined, driftfix }))
  const pit = clock.timers.find(({ name }) => name === 'pit')
  if (pit?.tickpolicy === 'delay') command.add('-global', 'kvm-pit.lost_tick_policy=delay')
  if (pit?.tickpolicy === 'discard') command.add('-global', 'kvm-pit.lost_tick_policy=discard')
}

/** The guest's clock at start for offsets that are numbers. */
function startTime({ def: { clock } }: Command): string {
  const seconds =
    clock.offset === 'absolute'
      ? Number(clock.start ?? 0n)
      : Math.floor(Date.now() / 1000) + Number(clock.adjustment ?? 0)
  return new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, '')
}
