// <watchdog>: QEMU's checks and arguments.
import type { WatchdogDef } from '../../../conf/devices/watchdog.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { type ErrorCode, errorsFrom } from '../../../conf/error.ts'
import { isI440fx, isQ35, isS390 } from '../machine-type.ts'
import { addressProps } from '../parts/address.ts'
import type { Builder } from '../parts/builder.ts'
import { joinOnce, leave, missing, type QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuWatchdog: QemuFamily<WatchdogDef> = {
  validate({ model, address, action }, def) {
    const [first] = def.devices.watchdogs
    if (first && action !== first.action) {
      throw fail(
        'VIR_ERR_CONFIG_UNSUPPORTED',
        'watchdogs with different actions are not supported with this QEMU binary'
      )
    }
    const refuse = (what: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', `${model} model of watchdog ${what}`)
    if (model === 'i6300esb' && address && address.type !== 'pci') throw refuse('can go only on PCI bus')
    if (model === 'ib700' && !isI440fx(def)) throw refuse('cannot be used with this machine type')
    if (model === 'ib700' && address) throw refuse('does not support configuring the address')
    if (model === 'itco') {
      if (address) throw refuse('is part of the machine and cannot have any address set.')
      if (!isQ35(def)) throw refuse('is only part of q35 machine')
    }
    if (model !== 'diag288') return
    if (address) throw refuse('is virtual and cannot go on any bus.')
    if (!isS390(def)) throw refuse('is allowed for s390 and s390x only')
  },
  add: addWatchdog,
  async update(dev, qmp) {
    await qmp.execute('watchdog-set-action', { action: qemuAction(dev) })
  },
  unplug: leave('watchdogs'),
  config: {
    attach(dev, def) {
      joinOnce('watchdogs', 'device is already in the domain configuration')(dev, def)
      checkModels(def, 'VIR_ERR_OPERATION_INVALID')
    },
    noneToDetach: missing('no matching watchdog was found')
  },
  live: {
    attach({ model }) {
      if (model !== 'i6300esb') throw staysOut(`hotplug of watchdog model '${model}'`)
    },
    detach({ model }) {
      if (model !== 'i6300esb') throw staysOut(`hot unplug of watchdog of model ${model}`)
    },
    noneToDetach: missing('no matching watchdog was found', 'VIR_ERR_OPERATION_INVALID')
  }
}

const staysOut = (what: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', `${what} is not supported`)

/** One watchdog of a model, but any number of i6300esb (qemuValidateDomainDefWatchdogs). @throws VIR_ERR_CONFIG_UNSUPPORTED */
export const validateWatchdogs = (def: DomainDef): void => checkModels(def, 'VIR_ERR_CONFIG_UNSUPPORTED')

function checkModels({ devices: { watchdogs } }: DomainDef, code: ErrorCode): void {
  const seen = new Set<string>()
  for (const { model } of watchdogs) {
    if (model === 'i6300esb') continue
    if (seen.has(model)) {
      throw fail(code, `domain can only have one watchdog with model '${model}'`)
    }
    seen.add(model)
  }
}

/** QEMU cannot dump: it pauses, and the dump is made when its event comes. */
export const qemuAction = ({ action = 'reset' }: WatchdogDef) => (action === 'dump' ? 'pause' : action)

/** One of the machine's own is no device: its strap that forbids resets is taken out (command/watchdog.ts). */
function addWatchdog(to: Builder, dev: WatchdogDef): void {
  if (dev.model !== 'itco') to.device({ driver: dev.model, id: dev.alias, ...addressProps(to, dev) })
}
