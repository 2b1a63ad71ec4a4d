import t from 'tap'
import { argvOf, errorOf, fakeQemu } from '../../../helper/definition.ts'

const guard = (type: string, inside: string) => ({
  outside: `<launchSecurity type='${type}'>${inside}</launchSecurity>`
})
const withSev = () => Object.assign(fakeQemu(), { sev: { cbitpos: 51, reducedPhysBits: 1 } })

t.test('the guarding object', async t => {
  const objectOf = async (type: string, inside: string) =>
    (await argvOf('', { ...guard(type, inside), qemu: withSev() })).find(line => line.includes('"lsec0"'))
  t.equal(
    await objectOf('sev', '<cbitpos>47</cbitpos><policy>1</policy><dhCert>x</dhCert>'),
    '-object {"qom-type":"sev-guest","id":"lsec0","cbitpos":47,"reduced-phys-bits":1,"policy":1,' +
      '"dh-cert-file":"/lib/guest/dh_cert.base64"}'
  )
  t.equal(
    await objectOf("sev-snp' vcek='no' authorKey='yes", '<policy>30000</policy><hostData></hostData>'),
    '-object {"qom-type":"sev-snp-guest","id":"lsec0","cbitpos":51,"reduced-phys-bits":1,"policy":196608,' +
      '"author-key-enabled":true,"vcek-disabled":true}'
  )
})

t.test('refuses what QEMU or the host cannot do', async t => {
  for (const [type, inside] of [
    ['sev', '<policy>1</policy>'],
    ['sev-snp', '<policy>1</policy>'],
    ['tdx', '']
  ] as const) {
    t.match(
      await errorOf(() => argvOf('', guard(type, inside))),
      `unsupported configuration: '${type}' launch security is not supported with this QEMU binary`
    )
  }
})
