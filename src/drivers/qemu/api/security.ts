// Security labels. Guests are confined by user, sandbox and no_new_privs; labels are those of the
// definition.
import { array, int, struct, text } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

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

  /** The labels the running guest was given, main model first. */
  virDomainGetSecurityLabelList: method({
    ...reads,
    since: '0.10.0',
    args: {},
    ret: { labels: array(struct(labelFields), LABELS_MAX) },
    run(domain) {
      const given = domain.isActive ? domain.def.seclabels.flatMap(({ label }) => label ?? []) : []
      return { labels: ['', ...given].map(label => ({ label, enforcing: 0 })) }
    }
  })
}
