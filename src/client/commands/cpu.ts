// Commands about what host and hypervisor can do: capabilities, CPU models and how CPUs compare.
import type { Given } from '../arguments.ts'
import { type Commands, option } from '../command.ts'
import { ClientError, saying } from '../failure.ts'

const file = (help: string) => option.text(help, { required: true })
const compareOptions = {
  error: option.bool('report error if CPUs are incompatible'),
  validate: option.bool('validate the XML document against schema')
}
const baselineOptions = {
  features: option.bool('Show features that are part of the CPU model type'),
  migratable: option.bool('Do not include features that block migration')
}
const hypervisorOptions = {
  virttype: option.text('virtualization type (/domain/@type)'),
  emulator: option.text('path to emulator binary (/domain/devices/emulator)'),
  arch: option.text('CPU architecture (/domain/os/type/@arch)'),
  machine: option.text('machine type (/domain/os/type/@machine)')
}

/** Flag names by the options that set them. */
const flagsOf = <Flag extends string>(given: Given, names: Record<string, Flag>): Flag[] =>
  Object.entries(names).flatMap(([name, flag]) => (given.has(name) ? [flag] : []))

const compareFlags = (given: Given) =>
  flagsOf(given, {
    error: 'VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE',
    validate: 'VIR_CONNECT_COMPARE_CPU_VALIDATE_XML'
  })
const baselineFlags = (given: Given) =>
  flagsOf(given, {
    features: 'VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES',
    migratable: 'VIR_CONNECT_BASELINE_CPU_MIGRATABLE'
  })

/** The options given, under their own names. */
const texts = (given: Given, ...names: string[]): Record<string, string> =>
  Object.fromEntries(names.flatMap(name => (given.has(name) ? [[name, given.text(name)!]] : [])))

const hypervisorArgs = (given: Given) => texts(given, ...Object.keys(hypervisorOptions))

const cpusIn = async (path: string, warn?: (line: string) => void): Promise<string[]> =>
  (await import('../cpu-file.ts')).cpusIn(path, warn)

/** Words of virsh for each result; an incompatible CPU is a failure of the command. */
type Verdicts = [incompatible: string, identical: string, superset: string]

export const cpu: Commands = {
  capabilities: {
    help: 'capabilities',
    options: {},
    async run(session) {
      const { capabilities } = await saying('failed to get capabilities', session.ask('virConnectGetCapabilities'))
      session.print(capabilities)
    }
  },
  domcapabilities: {
    help: 'domain capabilities',
    options: {
      virttype: hypervisorOptions.virttype,
      emulatorbin: hypervisorOptions.emulator,
      arch: option.text('domain architecture (/domain/os/type/@arch)'),
      machine: hypervisorOptions.machine,
      'disable-deprecated-features': option.bool('report host CPU model with deprecated features disabled'),
      'expand-cpu-features': option.bool("expand 'host-model' CPU to also show features enabled by the CPU model"),
      'supported-cpu-features': option.bool(
        "include all supported CPU features in 'host-model' mode, not only those enabled by default"
      )
    },
    async run(session, given) {
      const flags = flagsOf(given, {
        'disable-deprecated-features': 'VIR_CONNECT_GET_DOMAIN_CAPABILITIES_DISABLE_DEPRECATED_FEATURES',
        'expand-cpu-features': 'VIR_CONNECT_GET_DOMAIN_CAPABILITIES_EXPAND_CPU_FEATURES',
        'supported-cpu-features': 'VIR_CONNECT_GET_DOMAIN_CAPABILITIES_SUPPORTED_CPU_FEATURES'
      })
      const { capabilities } = await saying(
        'failed to get emulator capabilities',
        session.ask('virConnectGetDomainCapabilities', {
          ...texts(given, 'virttype', 'emulatorbin', 'arch', 'machine'),
          ...(flags.length > 0 && { flags })
        })
      )
      session.print(capabilities)
    }
  },
  'cpu-models': {
    help: 'CPU models',
    options: { arch: option.text('architecture', { required: true }) },
    async run(session, given) {
      const { models } = await saying(
        'failed to get CPU model names',
        session.ask('virConnectGetCPUModelNames', { arch: given.text('arch')! })
      )
      if (models.length === 0) session.printExtra('all CPU models are accepted\n')
      for (const model of models) session.print(`${model}\n`)
    }
  },
  'cpu-compare': {
    help: 'compare host CPU with a CPU described by an XML file',
    options: { file: file('file containing an XML CPU description, - for standard input'), ...compareOptions },
    async run(session, given) {
      const from = given.text('file')!
      const [xml] = await cpusIn(from)
      const { result } = await saying(
        `Failed to compare host CPU with ${from}`,
        session.ask('virConnectCompareCPU', { xml: xml!, flags: compareFlags(given) })
      )
      const verdicts: Verdicts = [
        `CPU described in ${from} is incompatible with host CPU`,
        `CPU described in ${from} is identical to host CPU`,
        `Host CPU is a superset of CPU described in ${from}`
      ]
      session.print(`${verdicts[result]}\n`)
      if (result === 0) throw new ClientError()
    }
  },
  'cpu-baseline': {
    help: 'compute baseline CPU',
    options: { file: file('file containing XML CPU descriptions, - for standard input'), ...baselineOptions },
    async run(session, given) {
      const xmlCPUs = await cpusIn(given.text('file')!)
      const { cpu: found } = await session.ask('virConnectBaselineCPU', { xmlCPUs, flags: baselineFlags(given) })
      session.print(found)
    }
  },
  'hypervisor-cpu-compare': {
    help: 'compare a CPU with the CPU created by a hypervisor on the host',
    options: {
      file: file('file containing an XML CPU description, - for standard input'),
      ...hypervisorOptions,
      ...compareOptions
    },
    async run(session, given) {
      const from = given.text('file')!
      const [xmlCPU] = await cpusIn(from, line => session.warn(line))
      const { result } = await saying(
        `Failed to compare hypervisor CPU with ${from}`,
        session.ask('virConnectCompareHypervisorCPU', {
          ...hypervisorArgs(given),
          xmlCPU: xmlCPU!,
          flags: compareFlags(given)
        })
      )
      const verdicts: Verdicts = [
        `CPU described in ${from} is incompatible with the CPU provided by hypervisor on the host`,
        `CPU described in ${from} is identical to the CPU provided by hypervisor on the host`,
        `The CPU provided by hypervisor on the host is a superset of CPU described in ${from}`
      ]
      session.print(`${verdicts[result]}\n`)
      if (result === 0) throw new ClientError()
    }
  },
  'hypervisor-cpu-models': {
    help: 'Hypervisor reported CPU models',
    options: {
      ...Object.fromEntries(Object.entries(hypervisorOptions).map(([name, one]) => [name, { ...one, named: true }])),
      all: option.bool('include all CPU models known to the hypervisor for the architecture')
    },
    async run(session, given) {
      const { emulator, ...wanted } = hypervisorArgs(given)
      const { capabilities } = await saying(
        'failed to get hypervisor CPU model names',
        session.ask('virConnectGetDomainCapabilities', { ...wanted, ...(emulator && { emulatorbin: emulator }) })
      )
      const { usableModels } = await import('../cpu-file.ts')
      for (const model of usableModels(capabilities, given.has('all'))) session.print(`${model}\n`)
    }
  },
  'hypervisor-cpu-baseline': {
    help: 'compute baseline CPU usable by a specific hypervisor',
    options: {
      file: option.text('file containing XML CPU descriptions, - for standard input'),
      ...hypervisorOptions,
      ...baselineOptions,
      'ignore-host': option.bool(
        'when computing baseline from several CPUs, do not take hypervisor capabilities into account and work with input data only'
      ),
      model: option.text('Shortcut for calling the command with a single CPU model and no additional features')
    },
    async run(session, given) {
      const [from, model] = [given.text('file'), given.text('model')]
      if (from !== undefined && model !== undefined) {
        throw new ClientError('Options --file and --model are mutually exclusive')
      }
      if (from === undefined && model === undefined) {
        throw new ClientError('Either --file or --model must be provided')
      }
      const xmlCPUs =
        from === undefined ? [`<cpu><model>${model}</model></cpu>`] : await cpusIn(from, line => session.warn(line))
      const { cpu: found } = await session.ask('virConnectBaselineHypervisorCPU', {
        ...hypervisorArgs(given),
        xmlCPUs,
        flags: [...baselineFlags(given), ...flagsOf(given, { 'ignore-host': 'VIR_CONNECT_BASELINE_CPU_IGNORE_HOST' })]
      })
      session.print(found)
    }
  }
}
