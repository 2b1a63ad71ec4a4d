// -machine and -accel, and what else the chipset is told

import type { FeaturesDef } from '../../../conf/domain/features.ts'
import { hasHmat } from '../../../conf/domain/numa.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { audiodevId } from '../device/audio.ts'
import { isPseries, isS390 } from '../machine-type.ts'
import { keyValue, type Props } from '../parts/props.ts'
import type { Command } from './command.ts'

import { LAUNCH_SECURITY_ID } from './launch-security.ts'
import { machineMemoryProps } from './memory.ts'

import { pflashMachineProps } from './pflash.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const MIB = 1024n * 1024n
const KIB_PER_MIB = 1024

/** `-machine` (qemuBuildMachineCommandLine). USB is always off here: its controllers are devices of their own. */
export function machineArgs(command: Command): void {
  const { def } = command
  command.add(
    '-machine',
    keyValue(def.os.machine!, {
      usb: false,
      ...keywrapProps(command),
      ...featureProps(command),
      'dump-guest-core': def.dumpCore ?? false,
      ...machineMemoryProps(command),
      'max-cpu-compat': def.cpu?.mode === 'host-model' && isPseries(def) ? def.cpu.model?.name : undefined,
      loadparm: command.qemu.has('loadparm') && !command.qemu.has('virtio-ccw.loadparm') ? loadparm(def) : undefined,
      ...launchSecurityProps(command),
      ...pflashMachineProps(command),
      hmat: hasHmat(def) || undefined,
      graphics: def.os.bios?.useserial ? false : undefined,
      hpet: command.qemu.has('machine-hpet') ? hpet(def) : undefined,
      'pcspk-audiodev': pcSpeakerAudio(def),
      acpi: command.qemu.machine(def.os.machine!)?.acpi ? (def.features?.acpi ?? false) : undefined
    })
  )
}

/** The PC speaker is part of the machine; its sound goes where its audio device says. */
function pcSpeakerAudio(def: DomainDef): string | undefined {
  const speaker = def.devices.sounds.find(({ model }) => model === 'pcspk')
  return speaker && audiodevId(def, speaker.audio)
}

const hpet = ({ clock }: DomainDef): boolean | undefined => clock.timers.find(({ name }) => name === 'hpet')?.present

function launchSecurityProps({ def, qemu }: Command): Props {
  if (!def.launchSecurity) return {}
  const modern = !def.launchSecurity.type.startsWith('sev') || qemu.has('confidential-guest-support')
  return { [modern ? 'confidential-guest-support' : 'memory-encryption']: LAUNCH_SECURITY_ID }
}

function keywrapProps({ def }: Command): Props {
  const { aes, dea } = def.keywrap ?? {}
  if ((aes ?? dea) === undefined) return {}
  if (!isS390(def)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "'aes-key-wrap'/'dea-key-wrap' is not available on this architecture")
  }
  return { 'aes-key-wrap': aes, 'dea-key-wrap': dea }
}

/** The machine's own way to a feature, where that is an option of it. */
function featureProps({ def, qemu }: Command): Props {
  const features: FeaturesDef = def.features ?? {}
  const { hpt } = features
  return {
    vmport: features.vmport,
    smm: features.smm?.state,
    'gic-version': gicVersion(features, qemu.has('gic-version')),
    kernel_irqchip: features.ioapic && { qemu: 'split', kvm: 'on' }[features.ioapic],
    'resize-hpt': hpt?.resizing,
    'cap-hpt-max-page-size': hpt?.maxPageSizeKiB && `${hpt.maxPageSizeKiB}k`,
    'cap-htm': features.htm,
    'cap-nested-hv': features.nestedHv,
    'cap-ccf-assist': features.ccfAssist,
    'cap-cfpc': features.cfpc,
    'cap-sbbc': features.sbbc,
    'cap-ibs': features.ibs,
    ras: features.ras,
    i8042: features.ps2,
    aia: features.aia
  }
}

/** Version 2 is what a QEMU without the option gives anyway. */
function gicVersion({ gic }: FeaturesDef, canChoose: boolean): string | undefined {
  if (!gic?.version || (gic.version === '2' && !canChoose)) return undefined
  if (canChoose) return gic.version
  throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'gic-version option is not available with this QEMU binary')
}

/** The load parameter of the first boot device, for a s390 guest's boot loader. */
function loadparm({ devices }: DomainDef): string | undefined {
  const first = [...devices.disks, ...devices.interfaces].find(({ boot }) => boot?.order === 1 && boot.loadparm)
  return first?.boot?.loadparm
}

/** The accelerator of the guest's type (qemuBuildAccelCommandLine). */
export function accelArgs(command: Command): void {
  const { type, features } = command.def
  if (type === 'kvm') {
    const ring = features?.kvm?.dirtyRing
    command.add('-accel', keyValue('kvm', { 'dirty-ring-size': ring?.state ? ring.size : undefined }))
  } else if (type === 'qemu') {
    const cacheKiB = features?.tcg?.tbCacheKiB
    command.add('-accel', keyValue('tcg', { 'tb-size': cacheKiB && Math.floor(cacheKiB / KIB_PER_MIB) }))
  } else command.add('-accel', type)
}

/** Memory of a guest that ends is given back by a process of its own (qemuBuildAsyncTeardownCommandLine). */
export function asyncTeardownArgs(command: Command): void {
  const enabled = command.def.features?.asyncTeardown
  if (enabled === undefined || !command.qemu.has('run-with.async-teardown')) return
  command.add('-run-with', keyValue('', { 'async-teardown': enabled }))
}

/** The memory system management mode keeps for itself. */
export function tsegArgs(command: Command): void {
  const bytes = command.def.features?.smm?.tsegBytes
  if (bytes !== undefined) command.add('-global', `mch.extended-tseg-mbytes=${bytes / MIB}`)
}

/** The device by which a guest notes its memory for dumps (qemuBuildVMCoreInfoCommandLine). */
export function vmcoreinfoArgs(command: Command): void {
  if (command.def.features?.vmcoreinfo) command.device({ driver: 'vmcoreinfo' })
}
