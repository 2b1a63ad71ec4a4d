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
