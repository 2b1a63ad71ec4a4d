// Sleep of the guest, and what is to follow when it shuts down, reboots or crashes.
import { LIFECYCLE_ACTIONS, validateEvents } from '../../../conf/domain/events.ts'
import {
  virDomainLifecycle,
  virDomainLifecycleAction,
  virDomainModificationImpact,
  virNodeSuspendTarget
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { defaulted, flags, oneOf, uhyper } from '../../../conf/wire.ts'
import { methodFor, noFlags } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { setLifecycleAction } from '../process/lifecycle-action.ts'
import { suspendGuest } from '../process/power-button.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')
const method = methodFor<QemuDomain>()

/** The member of a definition that says what follows, by virDomainLifecycle. */
const LIFECYCLE_MEMBERS = ['onPoweroff', 'onReboot', 'onCrash'] as const

export const power = {
  /** Has the guest put itself to sleep by its agent. Source: qemuDomainPMSuspendForDuration. */
  virDomainPMSuspendForDuration: method({
    since: '0.9.10',
    on: 'domain',
    acl: 'domain:pm_control',
    args: {
      target: oneOf(virNodeSuspendTarget, target => fail('VIR_ERR_INVALID_ARG', `Unknown suspend target: ${target}`)),
      duration: defaulted(uhyper('s; 0 is all that is supported'), 0n),
      flags: flags()
    },
    ret: {},
    check({ duration }) {
      if (duration !== 0n) throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', 'Duration not supported. Use 0 for now')
    },
    async run(domain, { target }, call) {
      await suspendGuest(domain, target, call)
      return {}
    }
  }),

  /** Wakes a guest that sleeps. */
  virDomainPMWakeup: method({
    since: '0.9.11',
    on: 'domain',
    acl: 'domain:pm_control',
    job: 'modify',
    needs: 'active',
    args: noFlags,
    ret: {},
    async run(domain) {
      await domain.qmp.execute('system_wakeup')
      return {}
    }
  }),

  /** Changes what follows when the guest shuts down, reboots or crashes. Source: qemuDomainSetLifecycleAction. */
  virDomainSetLifecycleAction: method({
    since: '3.9.0',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    impact: 'both',
    args: {
      type: oneOf(virDomainLifecycle, type => failDomain('VIR_ERR_INVALID_ARG', `invalid lifecycle type '${type}'`)),
      action: oneOf(virDomainLifecycleAction, action =>
        failDomain('VIR_ERR_INVALID_ARG', `invalid lifecycle action '${action}'`)
      ),
      flags: flags(virDomainModificationImpact)
    },
    ret: {},
    check({ type, action }) {
      const [onPoweroff, onReboot] = [0, 1].map(one => LIFECYCLE_ACTIONS[one === type ? action : 0]!)
      validateEvents({ onPoweroff: onPoweroff!, onReboot: onReboot! })
    },
    async run(domain, { type, action }, meant) {
      await setLifecycleAction(domain, meant, { [LIFECYCLE_MEMBERS[type]!]: LIFECYCLE_ACTIONS[action]! })
      return {}
    }
  })
}
