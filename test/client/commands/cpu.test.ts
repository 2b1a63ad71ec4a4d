// Capabilities and CPU models.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cpu } from '../../../src/client/commands/cpu.ts'
import { BOOM, checkRows, dir, type Row } from '../../helper/command-rows.ts'

const at = (name: string) => join(dir, name)
writeFileSync(at('cpu'), '<cpu><arch>x86_64</arch><model>486</model></cpu>')
writeFileSync(at('other'), '<other/>')

const MODELS = `<domainCapabilities><cpu>
  <mode name='host-model' supported='yes'><model fallback='forbid'>n270</model></mode>
  <mode name='custom' supported='yes'>
    <model usable='yes' vendor='unknown' canonical='486-v1'>486</model>
    <model usable='no' vendor='AMD'>EPYC</model><blockers model='EPYC'><feature name='npt'/></blockers>
  </mode>
</cpu></domainCapabilities>`

await checkRows(cpu, [
  ['capabilities', { virConnectGetCapabilities: { capabilities: '<c/>' } }, ['virConnectGetCapabilities {}'], '<c/>'],
  [
    'domcapabilities --virttype qemu --arch i686',
    { virConnectGetDomainCapabilities: BOOM },
    ['virConnectGetDomainCapabilities {"virttype":"qemu","arch":"i686"}'],
    '',
    ['failed to get emulator capabilities', 'it went wrong']
  ],
  [
    'domcapabilities --disable-deprecated-features',
    { virConnectGetDomainCapabilities: { capabilities: '<c/>\n' } },
    ['virConnectGetDomainCapabilities {"flags":["VIR_CONNECT_GET_DOMAIN_CAPABILITIES_DISABLE_DEPRECATED_FEATURES"]}'],
    '<c/>\n'
  ],
  [
    'hypervisor-cpu-models --virttype kvm --emulator /q',
    { virConnectGetDomainCapabilities: { capabilities: MODELS } },
    ['virConnectGetDomainCapabilities {"virttype":"kvm","emulatorbin":"/q"}'],
    '486\n'
  ],
  [
    'hypervisor-cpu-models --all',
    { virConnectGetDomainCapabilities: { capabilities: MODELS } },
    ['virConnectGetDomainCapabilities {}'],
    '486\nEPYC\n'
  ],
  [
    'hypervisor-cpu-models',
    { virConnectGetDomainCapabilities: BOOM },
    ['virConnectGetDomainCapabilities {}'],
    '',
    ['failed to get hypervisor CPU model names', 'it went wrong']
  ],
  [
    'cpu-models ppc64',
    { virConnectGetCPUModelNames: { models: [] } },
    ['virConnectGetCPUModelNames {"arch":"ppc64"}'],
    'all CPU models are accepted\n'
  ],
  [
    'cpu-models x86_64',
    { virConnectGetCPUModelNames: { models: ['486', 'n270'] } },
    ['virConnectGetCPUModelNames {"arch":"x86_64"}'],
    '486\nn270\n'
  ],
  ...[
    `CPU described in ${at('cpu')} is incompatible with host CPU`,
    `CPU described in ${at('cpu')} is identical to host CPU`,
    `Host CPU is a superset of CPU described in ${at('cpu')}`
  ].map(
    (verdict, result): Row => [
      `cpu-compare ${at('cpu')} --error`,
      { virConnectCompareCPU: { result } },
      [
        `virConnectCompareCPU ${JSON.stringify({
          xml: '<cpu>\n  <arch>x86_64</arch>\n  <model>486</model>\n</cpu>\n',
          flags: ['VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE']
        })}`
      ],
      `${verdict}\n`,
      // incompatible is a failure of the command
      result === 0 ? [] : undefined
    ]
  ),
  [
    `hypervisor-cpu-compare ${at('cpu')} --virttype kvm --validate`,
    { virConnectCompareHypervisorCPU: { result: 2 } },
    [
      `virConnectCompareHypervisorCPU ${JSON.stringify({
        virttype: 'kvm',
        xmlCPU: '<cpu>\n  <arch>x86_64</arch>\n  <model>486</model>\n</cpu>\n',
        flags: ['VIR_CONNECT_COMPARE_CPU_VALIDATE_XML']
      })}`
    ],
    `The CPU provided by hypervisor on the host is a superset of CPU described in ${at('cpu')}\n`
  ],
  [
    `cpu-baseline ${at('other')}`,
    {},
    [],
    '',
    [
      `File '${at('other')}' does not contain any <cpu> element or valid domain XML, host capabilities XML, or domain capabilities XML`
    ]
  ],
  [`cpu-baseline ${at('missing')}`, {}, [], '', [`Failed to open file '${at('missing')}': No such file or directory`]],
  [
    'hypervisor-cpu-baseline --model 486 --migratable',
    { virConnectBaselineHypervisorCPU: { cpu: '<cpu/>\n' } },
    [
      'virConnectBaselineHypervisorCPU {"xmlCPUs":["<cpu><model>486</model></cpu>"],"flags":["VIR_CONNECT_BASELINE_CPU_MIGRATABLE"]}'
    ],
    '<cpu/>\n'
  ],
  ['hypervisor-cpu-baseline', {}, [], '', ['Either --file or --model must be provided']],
  [
    `hypervisor-cpu-baseline ${at('cpu')} --model 486`,
    {},
    [],
    '',
    ['Options --file and --model are mutually exclusive']
  ]
])
