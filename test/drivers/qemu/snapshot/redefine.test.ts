// Snapshots that are made known again in the place of those of their names (virDomainSnapshotRedefineValidate).
import t from 'tap'
import { storageGuest } from '../../../helper/storage-guest.ts'

const REDEFINE = 'VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE'

t.test('the guest in it must have the machine it had', async t => {
  const { guest } = await storageGuest(t)
  const take = (xmlDesc: string, ...flags: string[]) =>
    guest.failureOf('virDomainSnapshotCreateXML', { xmlDesc, flags })
  t.equal(await take('<domainsnapshot><name>s1</name></domainsnapshot>'), '')
  const { xml } = await guest.call('virDomainSnapshotGetXMLDesc', { snap: { name: 's1' }, flags: [] })
  const cases: [change: [RegExp, string], failure: RegExp][] = [
    [[/<vcpu([^>]*)>1</, '<vcpu$1>2<'], /Target domain vCPU max 2 does not match source 1/],
    [[/'>65536</g, "'>131072<"], /Target domain max memory 131072 does not match source 65536/]
  ]
  for (const [[from, to], failure] of cases) {
    const changed = xml.replace(from, to)
    t.not(changed, xml)
    const refused = await take(changed, REDEFINE)
    t.match(refused, failure)
    t.match(refused, /^VIR_ERR_CONFIG_UNSUPPORTED VIR_FROM_/)
  }
  t.equal(await take(xml.replace('<name>s1<', '<name>s2<'), REDEFINE), '', 'as new it may have any')
  t.equal(await take(xml, REDEFINE), '')
})

t.test('flags that do not go together: the library refuses, or the driver', async t => {
  const { guest } = await storageGuest(t, {}, ['vda'])
  const bad = (domain: string, what: string) => `VIR_ERR_INVALID_ARG ${domain}: ${what}`
  const both = (one: string, other: string) => `Flags '${one}' and '${other}' are mutually exclusive`
  const needed = (other: string, flag: string) => `Flag '${other}' is required by flag '${flag}'`
  const create = (name: string) => `VIR_DOMAIN_SNAPSHOT_CREATE_${name}`
  const [library, driver] = ['VIR_FROM_DOMAIN_SNAPSHOT', 'VIR_FROM_QEMU']
  for (const [flags, failure] of [
    [['CURRENT'], bad(library, needed(REDEFINE, create('CURRENT')))],
    [['REDEFINE', 'NO_METADATA'], bad(library, both(REDEFINE, create('NO_METADATA')))],
    [['REDEFINE', 'HALT'], bad(library, both(REDEFINE, create('HALT')))],
    [['QUIESCE'], bad(driver, needed(create('DISK_ONLY'), create('QUIESCE')))],
    [['LIVE', 'REDEFINE'], bad(driver, both(create('LIVE'), REDEFINE))]
  ] as const) {
    const given = { xmlDesc: '<domainsnapshot/>', flags: flags.map(create) }
    t.equal(await guest.failureOf('virDomainSnapshotCreateXML', given), failure)
  }
  const name = { name: 's1' }
  const [running, paused] = ['RUNNING', 'PAUSED'].map(way => `VIR_DOMAIN_SNAPSHOT_REVERT_${way}`) as [string, string]
  t.equal(
    await guest.failureOf('virDomainRevertToSnapshot', { snap: name, flags: [running, paused] }),
    bad(library, both(running, paused))
  )
  const checkpoint = 'VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE'
  t.equal(
    await guest.failureOf('virDomainCheckpointCreateXML', { xmlDesc: '<x/>', flags: [`${checkpoint}_VALIDATE`] }),
    bad('VIR_FROM_DOMAIN_CHECKPOINT', needed(checkpoint, `${checkpoint}_VALIDATE`))
  )
})
