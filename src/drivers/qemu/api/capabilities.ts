// APIs about what host and QEMU can do: capabilities, CPU models, comparison of CPUs. What they need is loaded when
// they are first called.
import { isX86Arch } from '../../../conf/arch.ts'
import {
  virConnectBaselineCPUFlags,
  virConnectCompareCPUFlags,
  virConnectGetDomainCapabilitiesFlags
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { array, flags, int, optional, text } from '../../../conf/wire.ts'
import type { Connect } from '../../connection.ts'
import { methodFor } from '../../method.ts'
import { emulatorArgs } from '../capabilities-xml/emulator-lookup.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<Connect>()

const reads = { on: 'connect', acl: 'connect:read' } as const
/** libvirt's REMOTE_CPU_MODELS_MAX and REMOTE_CPU_BASELINE_MAX */
const MODELS_MAX = 8192
const BASELINE_MAX = 256

const { VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE: FAIL, VIR_CONNECT_COMPARE_CPU_VALIDATE_XML: VALIDATE } =
  virConnectCompareCPUFlags
const {
  VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES: EXPAND,
  VIR_CONNECT_BASELINE_CPU_MIGRATABLE: MIGRATABLE,
  VIR_CONNECT_BASELINE_CPU_IGNORE_HOST: IGNORE_HOST
} = virConnectBaselineCPUFlags
const {
  VIR_CONNECT_GET_DOMAIN_CAPABILITIES_DISABLE_DEPRECATED_FEATURES: DISABLE_DEPRECATED,
  VIR_CONNECT_GET_DOMAIN_CAPABILITIES_EXPAND_CPU_FEATURES: EXPAND_FEATURES,
  VIR_CONNECT_GET_DOMAIN_CAPABILITIES_SUPPORTED_CPU_FEATURES: SUPPORTED_FEATURES
} = virConnectGetDomainCapabilitiesFlags

/** virCPUCompareResult */
const COMPARED = { incompatible: 0, identical: 1, superset: 2 } as const

const compareFlags = flags(virConnectCompareCPUFlags)
const baselineFlags = {
  VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES: EXPAND,
  VIR_CONNECT_BASELINE_CPU_MIGRATABLE: MIGRATABLE
}
const emulator = { emulator: optional(text('path; absent: the host’s emulator for the architecture')), ...emulatorArgs }

export const capabilities = {
  /** The host and the guests it can run, as XML. */
  virConnectGetCapabilities: method({
    ...reads,
    since: '0.2.1',
    args: {},
    ret: { capabilities: text('<capabilities>') },
    async run(connect) {
      const { capabilities } = await import('../capabilities-xml/host.ts')
      return { capabilities: await capabilities(connect) }
    }
  }),

  /** Devices and features that guests of an emulator, machine and type can have, as XML. */
  virConnectGetDomainCapabilities: method({
    ...reads,
    since: '1.2.7',
    args: {
      emulatorbin: emulator.emulator,
      ...emulatorArgs,
      flags: flags(virConnectGetDomainCapabilitiesFlags)
    },
    ret: { capabilities: text('<domainCapabilities>') },
    async run(connect, { emulatorbin, flags: bits, ...wanted }) {
      const { lookUpDomainCapabilities } = await import('../capabilities-xml/domain.ts')
      const form = {
        withoutDeprecated: (bits & DISABLE_DEPRECATED) !== 0,
        supported: (bits & SUPPORTED_FEATURES) !== 0,
        expand: (bits & EXPAND_FEATURES) !== 0
      }
      return { capabilities: await lookUpDomainCapabilities(connect, { ...wanted, emulator: emulatorbin }, form) }
    }
  }),

  /** The CPU models libvirt knows for an architecture; none where QEMU's are taken as they are. */
  virConnectGetCPUModelNames: method({
    ...reads,
    since: '1.1.3',
    args: { arch: text(), flags: flags() },
    ret: { models: array(text(), MODELS_MAX) },
    async run(_host, { arch }) {
      const { modelNames } = await import('../cpu/compare-xml.ts')
      return { models: modelNames(arch) }
    }
  }),

  /** Compares a CPU with the host's own. */
  virConnectCompareCPU: method({
    ...reads,
    since: '0.7.5',
    args: { xml: text('<cpu>'), flags: compareFlags },
    ret: { result: int('0 incompatible, 1 identical, 2 the host has more') },
    async run(connect, { xml, flags: bits }) {
      const [{ compareXml }, { hostCpu }] = await Promise.all([
        import('../cpu/compare-xml.ts'),
        import('../cpu/host-cpu.ts')
      ])
      const own = await hostCpu(connect)
      const known = own.model === undefined ? undefined : own
      return {
        result: COMPARED[compareXml(connect.hostArch, known, xml, (bits & FAIL) !== 0, (bits & VALIDATE) !== 0)]
      }
    }
  }),

  /** Compares a CPU with the one an emulator can give guests on this host. */
  virConnectCompareHypervisorCPU: method({
    ...reads,
    since: '4.4.0',
    args: { ...emulator, xmlCPU: text('<cpu>'), flags: compareFlags },
    ret: { result: int('0 incompatible, 1 identical, 2 the hypervisor has more') },
    async run(connect, { xmlCPU, flags: bits, ...wanted }) {
      const [{ hypervisorCompareXml }, { lookUpEmulator }, { hostModel }] = await Promise.all([
        import('../cpu/compare-xml.ts'),
        import('../capabilities-xml/emulator-lookup.ts'),
        import('../cpu/host-model.ts')
      ])
      const { qemu, arch, type } = await lookUpEmulator(connect, wanted)
      const offered = hostModel({ qemu, hostArch: connect.hostArch }, type)?.reported
      if (!offered) {
        throw fail(
          'VIR_ERR_OPERATION_UNSUPPORTED',
          `QEMU '${qemu.binary}' does not support reporting CPU model for virttype '${type}'`
        )
      }
      if (!isX86Arch(arch)) {
        throw fail(
          'VIR_ERR_OPERATION_UNSUPPORTED',
          `comparing with the hypervisor CPU is not supported for arch ${arch}`
        )
      }
      const result = hypervisorCompareXml(qemu, offered, xmlCPU, (bits & FAIL) !== 0, (bits & VALIDATE) !== 0)
      return { result: COMPARED[result] }
    }
  }),

  /** The CPU with the most features that all of these hosts' CPUs have. */
  virConnectBaselineCPU: method({
    ...reads,
    since: '0.7.7',
    args: {
      xmlCPUs: array(text('<cpu> with <arch>, as capabilities show it'), BASELINE_MAX),
      flags: flags(baselineFlags)
    },
    ret: { cpu: text('<cpu>') },
    async run(_host, { xmlCPUs, flags: bits }) {
      const { baselineXml } = await import('../cpu/compare-xml.ts')
      return { cpu: baselineXml(xmlCPUs, { migratable: (bits & MIGRATABLE) !== 0, expand: (bits & EXPAND) !== 0 }) }
    }
  }),

  /** The CPU with the most features that all of these CPUs have and, unless the host is ignored, the emulator can give. */
  virConnectBaselineHypervisorCPU: method({
    ...reads,
    since: '4.4.0',
    args: { ...emulator, xmlCPUs: array(text('<cpu>'), BASELINE_MAX), flags: flags(virConnectBaselineCPUFlags) },
    ret: { cpu: text('<cpu>') },
    async run(connect, { xmlCPUs, flags: bits, ...wanted }) {
      const [{ parseCpus, hypervisorBaselineXml }, { lookUpEmulator }] = await Promise.all([
        import('../cpu/compare-xml.ts'),
        import('../capabilities-xml/emulator-lookup.ts')
      ])
      const ignoreHost = (bits & IGNORE_HOST) !== 0
      if (ignoreHost && xmlCPUs.length === 1) {
        throw fail(
          'VIR_ERR_OPERATION_INVALID',
          'ignoring host is only allowed when computing baseline from multiple CPUs'
        )
      }
      const cpus = parseCpus(xmlCPUs, 'virConnectBaselineHypervisorCPU')
      const { qemu, arch, type } = await lookUpEmulator(connect, wanted)
      if (qemu.cpuModels.length === 0) {
        throw fail(
          'VIR_ERR_OPERATION_UNSUPPORTED',
          `QEMU '${qemu.binary}' does not support any CPU models for virttype '${type}'`
        )
      }
      if (!isX86Arch(arch)) {
        throw fail(
          'VIR_ERR_OPERATION_UNSUPPORTED',
          `computing baseline hypervisor CPU is not supported for arch ${arch}`
        )
      }
      const options = { migratable: (bits & MIGRATABLE) !== 0, expand: (bits & EXPAND) !== 0, ignoreHost }
      return { cpu: hypervisorBaselineXml(cpus, qemu, options) }
    }
  }),

  /** The command line of a guest; nothing of the host is touched. */
  virConnectDomainXMLToNative: method({
    on: 'connect',
    acl: 'connect:write',
    since: '0.6.4',
    args: { nativeFormat: text('qemu-argv'), domainXml: text('<domain>'), flags: flags() },
    ret: { nativeConfig: text('environment and command line, quoted for a shell') },
    async run(connect, { nativeFormat, domainXml }) {
      if (nativeFormat !== 'qemu-argv') {
        throw fail('VIR_ERR_INVALID_ARG', `unsupported config type ${nativeFormat}`)
      }
      const { nativeConfig } = await import('../definition/native.ts')
      return { nativeConfig: await nativeConfig(domainXml, connect.cacheDir) }
    }
  })
}
