// -rtc and the timers that have options of their own
import type { ClockDef, TimerDef } from '../../../conf/domain/clock.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'
import { isArmVirt, isX86 } from '../machine-type.ts'
import { keyValue } from '../parts/props.ts'
import type { Command } from './command.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** The last second of the year 9999: what a date of four digits can say. */
const START_MAX = 253_402_300_799n

const RTC_CLOCK = { guest: 'vm', wall: 'host', realtime: 'rt', boot: undefined }

/** `-rtc` and what else the timers ask for outside of -cpu and -machine (qemuBuildClockCommandLine). */
export function clockArgs(command: Command): void {
  const { clock } = command.def
  const rtc = clock.timers.find(({ name }) => name === 'rtc')
  command.add(
    '-rtc',
    keyValue('', {
      base: rtcBase(clock),
      clock: rtc?.track && RTC_CLOCK[rtc.track],
      driftfix: rtc?.tickpolicy === 'catchup' ? 'slew' : undefined
    })
  )
  if (clock.offset === 'timezone') command.env.TZ = clock.timezone
  for (const timer of clock.timers) {
    if (timer.name === 'pit') pitArgs(command, timer)
    if (timer.name === 'hpet' && timer.present === false && !command.qemu.has('machine-hpet') && isX86(command.def))
      command.add('-no-hpet')
  }
}

/** KVM's interval timer catches up by itself; anything else has to be asked for. */
function pitArgs(command: Command, { tickpolicy = 'delay' }: TimerDef): void {
  if (tickpolicy === 'catchup' || !command.qemu.has('kvm-pit-lost-tick-policy')) return
  command.add('-global', `kvm-pit.lost_tick_policy=${tickpolicy}`)
}

/**
 * The guest's clock at start. An adjustment of local time becomes one of UTC here, and is remembered as what QEMU's
 * RTC_CHANGE events count from.
 */
function rtcBase(clock: ClockDef): string {
  switch (clock.offset) {
    case 'utc':
      return 'utc'
    case 'localtime':
    case 'timezone':
      return 'localtime'
    case 'absolute':
      return isoSeconds(Number(clock.start))
    case 'variable': {
      const now = new Date()
      if (clock.basis === 'localtime') {
        clock.adjustment -= BigInt(now.getTimezoneOffset() * 60)
        clock.basis = 'utc'
      }
      clock.adjustment0 = clock.adjustment
      return isoSeconds(Math.floor(now.getTime() / 1000) + Number(clock.adjustment))
    }
  }
}

/** @throws VIR_ERR_CONFIG_UNSUPPORTED for a year that has more than four digits */
function isoSeconds(seconds: number): string {
  const date = new Date(seconds * 1000)
  if (Number.isNaN(date.getTime()) || !/^\d{4}-/.test(date.toISOString())) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `clock start out of range: ${seconds}`)
  }
  return date.toISOString().replace(/\.\d+Z$/, '')
}

const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

type TimerCheck = (timer: TimerDef, def: DomainDef, context: QemuContext) => void

const notForThisGuest = ({ name }: TimerDef, { type, os }: DomainDef) =>
  unsupported(
    `Configuring the '${name}' timer is not supported for virtType=${type} arch=${os.arch} machine=${os.machine} guests`
  )

const x86Only: TimerCheck = (timer, def) => {
  if (!isX86(def) && timer.present) throw notForThisGuest(timer, def)
}

const TIMER_CHECKS: Record<TimerDef['name'], TimerCheck> = {
  platform({ name }) {
    throw unsupported(`unsupported timer type (name) '${name}'`)
  },
  tsc: x86Only,
  kvmclock: x86Only,
  hypervclock: x86Only,
  rtc({ track, tickpolicy }) {
    if (track === 'boot') throw unsupported(`unsupported rtc timer track '${track}'`)
    if (tickpolicy === 'merge' || tickpolicy === 'discard') {
      throw unsupported(`unsupported rtc timer tickpolicy '${tickpolicy}'`)
    }
  },
  pit({ tickpolicy }, _def, { qemu }) {
    if (tickpolicy === 'merge' || (tickpolicy === 'catchup' && !qemu.has('kvm-pit-lost-tick-policy'))) {
      throw unsupported(`unsupported pit tickpolicy '${tickpolicy}'`)
    }
  },
  hpet(timer, def) {
    if (timer.present && !isX86(def)) throw unsupported('hpet timer is not supported by this architecture')
  },
  armvtimer(timer, def, { qemu }) {
    const { name, present, tickpolicy } = timer
    if (def.type !== 'kvm' || !isArmVirt(def)) throw notForThisGuest(timer, def)
    if (present === false) throw unsupported(`The '${name}' timer can't be disabled`)
    if (!qemu.has('cpu.kvm-no-adjvtime')) {
      throw unsupported(`Configuring the '${name}' timer is not supported with this QEMU binary`)
    }
    if (tickpolicy === 'catchup' || tickpolicy === 'merge') {
      throw unsupported(`The '${name}' timer does not support tickpolicy '${tickpolicy}'`)
    }
  }
}

/** @throws VIR_ERR_CONFIG_UNSUPPORTED; libvirt: qemuValidateDomainDefClockTimers */
export function validateClock(def: DomainDef, context: QemuContext): void {
  const { clock } = def
  for (const timer of clock.timers) TIMER_CHECKS[timer.name](timer, def, context)
  if (clock.offset === 'absolute' && clock.start > START_MAX) {
    throw unsupported(`The maximum 'start' value for <clock offset='absolute'> is ${START_MAX}`)
  }
}
