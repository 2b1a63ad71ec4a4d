// Security labels, and guests whose memory the host cannot read. Guests are confined by user, sandbox and no_new_privs;
// labels are those of the definition.
import { virDomainState, virTypedParameterFlags } from '../../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import { array, flags, int, openFlags, struct, text, typedInput, typedParams } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { sevInfo } from '../stats/sev.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const badArgument = argumentErrorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

/** libvirt's REMOTE_SECURITY_LABEL_LIST_MAX */
const LABELS_MAX = 64
const reads = { on: 'domain', acl: 'domain:read' } as const
const labelFields = { label: text(), enforcing: int('1: a violation is prevented') }

export const security = {
  /** The label of the main security model, which is none: an empty one. */
  virDomainGetSecurityLabel: method({
    ...reads,
    since: '0.6.1',
    args: {},
    ret: labelFields,
    run: () => ({ label: '', enforcing: 0 })
  }),

  /** The labels the running guest was given, main model first; one that does not run has none. */
  virDomainGetSecurityLabelList: method({
    ...reads,
    since: '0.10.0',
    args: {},
    ret: { labels: array(struct(labelFields), LABELS_MAX) },
    run(domain) {
      if (!domain.isActive) return { labels: [] }
      const given = domain.def.seclabels.flatMap(({ label }) => label ?? [])
      return { labels: ['', ...given].map(label => ({ label, enforcing: 0 })) }
    }
  }),

  /**
   * What the owner of a guest with AMD's SEV is to check before its memory is trusted; nothing of other guests, whatever
   * the flags.
   */
  virDomainGetLaunchSecurityInfo: method({
    ...reads,
    since: '4.5.0',
    args: { flags: openFlags(virTypedParameterFlags) },
    ret: { params: typedParams },
    async run(domain, { flags: bits }, call) {
      const type = domain.def.launchSecurity?.type
      if (type !== 'sev' && type !== 'sev-snp') return { params: {} }
      const unknown = bits & ~virTypedParameterFlags.VIR_TYPED_PARAM_STRING_OKAY
      if (unknown !== 0)
        throw badArgument(`unsupported flags (0x${unknown.toString(16)}) in function qemuDomainGetSEVInfo`)
      return domain.jobs.run('query', call, async () => {
        domain.checkActive()
        return { params: await sevInfo(domain.qmp) }
      })
    }
  }),

  /** Puts a secret of its owner into a guest with AMD's SEV that has not run yet. */
  virDomainSetLaunchSecurityState: method({
    since: '8.0.0',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    args: {
      params: typedInput({ 'sev-secret-header': 'string', 'sev-secret': 'string', 'sev-secret-set-address': 'ullong' }),
      flags: flags()
    },
    ret: {},
    async run(domain, { params }) {
      if (domain.def.launchSecurity?.type !== 'sev') {
        const only = 'setting a launch secret is only supported in SEV-enabled domains'
        throw fail('VIR_ERR_OPERATION_UNSUPPORTED', only)
      }
      const { 'sev-secret-header': header, 'sev-secret': secret, 'sev-secret-set-address': gpa } = params
      if (header === undefined || secret === undefined) {
        throw fail('VIR_ERR_INTERNAL_ERROR', 'Both secret and the secret header are required')
      }
      domain.checkActive()
      if (domain.state !== virDomainState.VIR_DOMAIN_PAUSED) {
        throw fail('VIR_ERR_OPERATION_INVALID', 'domain must be in a paused state')
      }
      if (!domain.context.qemu.has('sev-inject-launch-secret')) {
        throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'QEMU does not support setting a launch secret')
      }
      const where = gpa === undefined ? {} : { gpa }
      await domain.qmp.execute('sev-inject-launch-secret', { 'packet-header': header, secret, ...where })
      return {}
    }
  })
}
