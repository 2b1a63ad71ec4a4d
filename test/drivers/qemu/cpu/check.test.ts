// The partial check, against a QEMU and a host of our own making.
import t from 'tap'
import { parseAnyCpu } from '../../../../src/conf/host-cpu.ts'
import { checkDomainCpu } from '../../../../src/drivers/qemu/cpu/check.ts'
import { errorOf, fakeQemu } from '../../../helper/definition.ts'

const model = (name: string, blockers = '') => ({ name, type: `${name}-x86_64-cpu`, deprecated: false, blockers })
const qemu = {
  ...fakeQemu(),
  cpuModels: [
    model('486'),
    model('EPYC-v3', 'npt fxsr-opt'),
    model('KnightsMill'),
    model('Conroe', 'lm'),
    model('Zeus', 'x')
  ]
}
/** A 486 with SSE, as QEMU tells it; the host itself has SSE2 too. */
const host = (...names: string[]) => ({
  model: '486',
  features: names.map(name => ({ name, policy: 'require' as const }))
})
const sides = { reported: host('sse'), compat: host('sse', 'sse2') }
const feature = (name: string, policy = 'require') => `<feature policy='${policy}' name='${name}'/>`
const check = (inside: string, hosts: Parameters<typeof checkDomainCpu>[1] = sides) => {
  const comparison = checkDomainCpu(qemu, hosts, parseAnyCpu(`<cpu match='exact'>${inside}</cpu>`))
  return comparison.result === 'incompatible' ? comparison.reason : comparison.result
}
const lacks = (names: string) => `Host CPU does not provide required features: ${names}`

t.test('a model QEMU calls usable', async t => {
  t.equal(check('<model>KnightsMill</model>'), 'superset', 'nothing of the map counts')
  t.equal(check(`<model>KnightsMill</model>${feature('sse', 'disable')}`), 'superset')
  t.equal(check(`<model>KnightsMill</model>${feature('sse')}`), 'superset')
  t.equal(check(`<model>KnightsMill</model>${feature('avx')}`), lacks('avx'))
})

t.test('a model that QEMU says what it lacks', async t => {
  t.equal(check('<model>EPYC-v3</model>'), lacks('npt, fxsr_opt'), 'in QEMU’s order, under libvirt’s names')
  t.equal(check(`<model>EPYC-v3</model>${feature('npt', 'disable')}`), lacks('fxsr_opt'))
  const off = feature('npt', 'disable') + feature('fxsr_opt', 'disable')
  t.equal(check(`<model>EPYC-v3</model>${off}`), 'superset')
  t.equal(check(`<model>EPYC-v3</model>${off}${feature('sse2')}${feature('sse')}`), lacks('sse2'))
  t.equal(check(`<model>EPYC-v3</model>${off}${feature('sse2', 'force')}`), 'superset')
})

t.test('old models go by the map', async t => {
  t.match(check('<model>Conroe</model>'), /^Host CPU does not provide required features: .*apic/)
  t.equal(check(`<model>486</model>${feature('sse2')}`), 'superset', 'with all the host has')
  t.equal(check(`<model>486</model>${feature('avx')}`), lacks('avx'))
})

t.test('so does what QEMU says nothing of', async t => {
  t.match(check('<model>EPYC-v4</model>'), /^Host CPU does not provide/, 'QEMU has no such model')
  t.match(check('<model>EPYC-v3</model>', { ...sides, reported: undefined }), /^Host CPU does not provide/)
  t.equal(check('<model>EPYC-v3</model>', { reported: undefined, compat: undefined }), 'unknown host CPU')
})

t.test('a model libvirt does not know', async t => {
  t.equal(
    await errorOf(() => check('<model>Zeus</model>')),
    'VIR_ERR_INVALID_ARG: invalid argument: unknown CPU model Zeus'
  )
})
