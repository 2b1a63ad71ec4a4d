// The dry run of a migration at its source: the checks that its phases make there, all of them. QEMU is asked, and told
// nothing.
import { virDomainMigrateFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { checkAll, type Refuse } from '../../../conf/refuse.ts'
import type { Finding } from '../../migration.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { checkRemotelyMigratable, checkSafe } from './allowed.ts'
import { checkBegin, checkEncrypted, checkManaged, checkPerform, checkToUri, refuseRdma } from './checks.ts'
import { formatCookie } from './cookie.ts'
import { Findings } from './findings.ts'
import { ownCookie } from './own-cookie.ts'
import { checkSettings, settingsFor } from './params.ts'
import { checkPeer, checkTunnel } from './peer.ts'
import { type Asked, checkNotMigrating, isResume, resumableJob } from './phases.ts'
import { definitionFor, destinationOf, featuresOf, persistentFor } from './source.ts'
import { checkCopies, isCopiedBy } from './storage.ts'
import { checkCertificates } from './tls.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
// virdomainjob.c
const failJob = errorsFrom('VIR_FROM_NONE')

const FLAGS = virDomainMigrateFlags
const { VIR_MIGRATE_OFFLINE, VIR_MIGRATE_PEER2PEER, VIR_MIGRATE_PERSIST_DEST } = FLAGS
const { VIR_MIGRATE_TLS, VIR_MIGRATE_TUNNELLED, VIR_MIGRATE_UNSAFE } = FLAGS

/** What speaks against a migration here, and what its destination is to be asked with. */
export interface BeginChecked {
  findings: Finding[]
  /** absent for a guest of which there is no more to say */
  xml?: string | undefined
  cookie?: string | undefined
}

/**
 * Looks at all that would keep the guest from leaving so.
 * @param dconnuri the daemon that a guest which drives its migration itself would go to
 */
export async function checkBeginPhase(
  domain: QemuDomain,
  asked: Asked,
  dconnuri: string | undefined
): Promise<BeginChecked> {
  const { params, flags } = asked
  const { def, context } = domain
  const has = (flag: number) => (flags & flag) !== 0
  const isOffline = has(VIR_MIGRATE_OFFLINE)
  const isAsked = domain.isActive && !isOffline
  const findings = new Findings('source')
  await findings.check('flags', refuse => {
    checkClient(asked, dconnuri, refuse)
    checkAll(refuse, [() => checkEncrypted(context.config, flags)])
    checkBegin(def, params, flags, refuse)
    checkPerform(params, flags, refuse)
  })
  await findings.check('guest', refuse => {
    checkAll(refuse, [
      () => {
        if (isResume(asked)) resumableJob(domain, 'migration-out', flags, 'postcopy_failed')
        else checkNotMigrating(domain)
      },
      () => {
        if (!isOffline) domain.checkActive()
      }
    ])
  })
  warnOfJob(domain, findings)
  if (isOffline || domain.isActive) {
    await findings.check('guest', refuse => checkRemotelyMigratable(domain, flags, refuse))
  }
  if (!has(VIR_MIGRATE_UNSAFE | VIR_MIGRATE_OFFLINE)) {
    await findings.check('disks', refuse => checkSafe(domain, isCopiedBy(asked), refuse))
  }
  const settings = await findings.check('parameters', () => settingsFor(params, flags, 'source'))
  if (params.migrate_uri !== undefined) {
    await findings.check('parameters', () => refuseRdma(def, params.migrate_uri, 'outgoing'))
    await findings.check('parameters', () => destinationOf(params.migrate_uri, flags))
  }
  if (settings && isAsked) await findings.check('parameters', () => checkSettings(domain, settings))
  if (isAsked) await findings.check('disks', refuse => checkCopies(domain, asked, refuse))
  if (isAsked && has(VIR_MIGRATE_TLS)) {
    await findings.check('certificates', refuse => checkCertificates(context, 'source', refuse))
  }
  if (has(VIR_MIGRATE_PERSIST_DEST)) {
    await findings.check('definition', () => persistentFor(domain, params.persistent_xml))
  }
  const given = await findings.check('definition', () => definitionFor(domain, params.destination_xml))
  // the destination has more to say than that this one cannot come
  const xml = given ?? (await findings.check('definition', () => definitionFor(domain, undefined)))
  const cookie = await findings.check('cookie', async () => {
    if (isOffline || domain.isActive) return formatCookie(await ownCookie(domain, 'source', featuresOf(domain, asked)))
    return undefined
  })
  if (has(VIR_MIGRATE_PEER2PEER) && dconnuri !== undefined) {
    await findings.check('destination', () => checkDestinationOf(domain, dconnuri, flags))
  }
  return { findings: findings.list, xml, cookie }
}

/** Checks of who drives it: the guest's daemon itself, or its client. */
function checkClient({ params, flags }: Asked, dconnuri: string | undefined, refuse: Refuse): void {
  if ((flags & VIR_MIGRATE_PEER2PEER) === 0) checkManaged(flags, refuse)
  else {
    checkToUri(flags, dconnuri, refuse)
    if ((flags & VIR_MIGRATE_TUNNELLED) !== 0) checkAll(refuse, [() => checkTunnel(params)])
  }
}

/** A migration waits for a job that is under way, for as long as for any. */
function warnOfJob({ jobs }: QemuDomain, findings: Findings): void {
  const { async: job } = jobs
  if (!job || job.kind === 'migration-in' || job.kind === 'migration-out') return
  const why = failJob('VIR_ERR_OPERATION_TIMEOUT', `cannot acquire state change lock (held by ${job.api})`)
  findings.warn('guest', why)
}

/** Connects to the other side, and no more. @throws VIR_ERR_NO_CONNECT, VIR_ERR_SYSTEM_ERROR, and as checkPeer */
async function checkDestinationOf({ openPeer }: QemuDomain, dconnuri: string, flags: number): Promise<void> {
  if (!openPeer) throw fail('VIR_ERR_NO_CONNECT', dconnuri)
  const peer = await openPeer(dconnuri)
  try {
    await checkPeer(peer, flags)
  } finally {
    peer.close()
  }
}
