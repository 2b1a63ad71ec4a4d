import t from 'tap'
import { cpuFields } from '../../../src/conf/domain/cpu.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

const through = (cpu: string) => throughTable(cpuFields, `<domain>${cpu}</domain>`)

t.test('read and written', async t => {
  for (const [given, expected = given] of [
    ['<cpu/>', ''],
    ["<cpu check='full' match='strict'><cache mode='disable'/></cpu>", "<cpu><cache mode='disable'/></cpu>"],
    ['<cpu><model>486</model></cpu>', "<cpu mode='custom' match='exact'><model fallback='allow'>486</model></cpu>"],
    ["<cpu mode='host-model' check='default'><model fallback='forbid'/></cpu>", "<cpu mode='host-model'/>"],
    [
      "<cpu mode='host-passthrough' migratable='off'><model>486</model><vendor>AMD</vendor></cpu>",
      "<cpu mode='host-passthrough' migratable='off'/>"
    ],
    [
      "<cpu mode='maximum'><feature name='avx'/><topology sockets='1' cores='2' threads='3'/></cpu>",
      "<cpu mode='maximum'><topology sockets='1' dies='1' clusters='1' cores='2' threads='3'/><feature policy='require' name='avx'/></cpu>"
    ],
    [
      "<cpu mode='custom' match='exact'><model vendor_id='KVMKVMKVMKVM'/></cpu>",
      "<cpu><model vendor_id='KVMKVMKVMKVM'/></cpu>"
    ]
  ] as [string, string?][]) {
    t.equal(through(given), expected === '' ? '<domain/>' : `<domain>${expected}</domain>`, given)
  }
})

t.test('refused', async t => {
  for (const [cpu, error] of [
    ["<cpu mode='alien'/>", "VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Invalid mode attribute 'alien'"],
    ["<cpu migratable='on'/>", 'Attribute migratable is only allowed'],
    ["<cpu><model fallback='maybe'>486</model></cpu>", 'Invalid fallback attribute'],
    ["<cpu><model vendor_id='short'>486</model></cpu>", 'vendor_id must be exactly 12 characters long'],
    ["<cpu><model vendor_id='eleven,chars'>486</model></cpu>", 'vendor id is invalid'],
    ['<cpu><vendor>AMD</vendor></cpu>', 'CPU vendor specified without CPU model'],
    ["<cpu><feature name='avx'/></cpu>", 'Non-empty feature list specified without CPU model'],
    ["<cpu mode='maximum'><feature name='a'/><feature name='a'/></cpu>", "CPU feature 'a' specified more than once"],
    ["<cpu mode='maximum'><feature name=''/></cpu>", 'Invalid CPU feature name'],
    ["<cpu mode='maximum'><feature name='a' policy='x'/></cpu>", 'Invalid CPU feature policy'],
    ["<cpu><topology sockets='0' cores='1' threads='1'/></cpu>", 'Zero is not permitted'],
    ["<cpu><cache level='4' mode='emulate'/></cpu>", 'invalid CPU cache level, must be in range [1,3]'],
    ["<cpu><cache mode='disable'/><cache mode='disable'/></cpu>", 'at most one CPU cache element may be specified'],
    ["<cpu><maxphysaddr mode='emulate' bits='-1'/></cpu>", 'Expected non-negative value']
  ] as const) {
    t.match(await errorOf(() => through(cpu)), error, cpu)
  }
})
