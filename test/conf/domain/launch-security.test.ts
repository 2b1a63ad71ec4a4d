import t from 'tap'
import { launchSecurityFields, validateLaunchSecurity } from '../../../src/conf/domain/launch-security.ts'
import type { DomainDef } from '../../../src/conf/domain-def.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

const domain = (inside: string) => `<domain>${inside}</domain>`
const sev = (attributes: string, inside: string) =>
  domain(`<launchSecurity type='${attributes.includes("'") ? attributes : `${attributes}'`}>${inside}</launchSecurity>`)

t.test('reads and writes every kind', async t => {
  for (const xml of [
    sev(
      "sev' kernelHashes='yes'",
      '<cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x0001</policy><dhCert>a</dhCert><session>b</session>'
    ),
    sev(
      "sev-snp' kernelHashes='no' authorKey='yes' vcek='no'",
      '<cbitpos>51</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x00030000</policy>' +
        '<guestVisibleWorkarounds>AA==</guestVisibleWorkarounds><idBlock>a</idBlock><idAuth>b</idAuth><hostData>c</hostData>'
    ),
    domain("<launchSecurity type='s390-pv'/>"),
    sev(
      'tdx',
      '<policy>0x10000001</policy><mrConfigId>a</mrConfigId><mrOwner>b</mrOwner><mrOwnerConfig>c</mrOwnerConfig>' +
        "<quoteGenerationService path='/s'/>"
    ),
    sev('tdx', '<quoteGenerationService/>')
  ]) {
    t.equal(throughTable(launchSecurityFields, xml), xml)
  }
  t.equal(
    throughTable(launchSecurityFields, sev('sev-snp', '<policy>ffffffffff</policy>')),
    sev('sev-snp', '<policy>0xffffffffff</policy>')
  )
})

t.test('refuses with libvirt’s words', async t => {
  for (const [xml, error] of [
    [sev('sev', ''), 'XML error: failed to get launch security policy'],
    [sev('sev-snp', '<policy>x</policy>'), 'XML error: failed to get launch security policy'],
    [sev('sev-snp', '<cbitpos>x</cbitpos>'), 'XML error: Invalid format for launch security cbitpos'],
    [sev("sev-snp' vcek='maybe'", ''), "Invalid value for attribute 'vcek' in element 'launchSecurity': 'maybe'."],
    [sev("sev-snp' vcek='maybe'", '<cbitpos>x</cbitpos>'), 'Invalid format for launch security cbitpos'],
    [sev('none', ''), "Invalid value for attribute 'type' in element 'launchSecurity': 'none'"]
  ] as const) {
    t.match(await errorOf(() => throughTable(launchSecurityFields, xml)), error, xml)
  }
})

t.test('data of SNP has the lengths of its fields', async t => {
  const check = (more: object) => validateLaunchSecurity({ launchSecurity: { type: 'sev-snp', ...more } } as DomainDef)
  const bytes = (count: number) => Buffer.alloc(count).toString('base64')
  check({ guestVisibleWorkarounds: bytes(16), idBlock: bytes(96), idAuth: bytes(4096), hostData: bytes(32) })
  t.match(
    await errorOf(() => check({ idBlock: bytes(95) })),
    "unsupported configuration: Unexpected length of 'idBlock', expected 96 got 95"
  )
})
