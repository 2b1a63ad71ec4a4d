// Taints: reasons why others cannot answer for a guest, by its making or by acts past its daemon
// (virDomainTaint, qemuDomainObjCheckTaint). It is kept for as long as the guest runs.
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { virDomainMessageType } from '../../../conf/enums.ts'
import { storageImages } from '../../../conf/storage/chain.ts'
import { storagePath } from '../../../conf/storage/source.ts'
import type { ProcessOwner } from '../../../host/owner.ts'
import { TAINTS, type Taint } from '../../../state/taint.ts'
import { isCdromDrive } from '../block/protocol.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { QemuDomain } from './domain.ts'
import type { Run } from './run.ts'

const { VIR_DOMAIN_MESSAGE_DEPRECATION, VIR_DOMAIN_MESSAGE_TAINTING, VIR_DOMAIN_MESSAGE_IOERRORS } =
  virDomainMessageType

type Rule = (def: DomainDef, owner: ProcessOwner) => boolean

/** Taints that a definition brings to the guest started from it. A guest of its caller's own rights has no others. */
const RULES: Partial<Record<Taint, Rule>> = {
  'high-privileges': ({ devices }, { user, group }) =>
    [user, group].some(who => who === 'root' || who === '0') ||
    devices.disks.some(({ rawio }) => rawio === true) ||
    devices.hostdevs.some(({ source }) => source.rawio === true),
  'custom-argv': ({ qemuNamespace: own }) => own !== undefined && own.args.length + own.env.length > 0,
  'custom-device': ({ qemuNamespace: own }) => own !== undefined && own.overrides.length > 0,
  'custom-hypervisor-feature': ({ qemuNamespace: own }) =>
    own !== undefined && own.capsAdd.length + own.capsDel.length > 0,
  'cdrom-passthrough': ({ devices }) =>
    devices.disks.some(
      ({ device, source }) => device === 'cdrom' && source.type === 'block' && isCdromDrive(source.path)
    ),
  'shell-scripts': ({ devices }) => devices.interfaces.some(({ script }) => script !== undefined),
  'custom-dtb': ({ os }) => os.dtb !== undefined
}

/** Parts of a definition that its QEMU means to drop. */
function deprecated({ os, cpu }: DomainDef, { machines, cpuModels }: Qemu): string[] {
  const isOld = (list: readonly { name: string; deprecated: boolean }[], wanted: string | undefined) =>
    list.some(one => one.name === wanted && one.deprecated)
  const model = cpu?.mode === 'custom' ? cpu.model?.name : undefined
  return [
    ...(isOld(machines, os.machine) ? [`machine type '${os.machine}'`] : []),
    ...(isOld(cpuModels, model) ? [`CPU model '${model}'`] : [])
  ]
}

/** Marks a running guest, once. */
export function taint(domain: QemuDomain, what: Taint, extra?: string): void {
  const { running, name, id, log } = domain
  const { taints } = running
  if (taints.has(what) && extra === undefined) return
  taints.add(what)
  domain.save()
  log.warn({ name, id, taint: what, ...(extra !== undefined && { extra }) }, 'domain is tainted')
}

/** Marks a guest that is about to start by what is in its definition. */
export function taintByDefinition(domain: QemuDomain): void {
  const { def, context, running } = domain
  for (const [what, applies] of Object.entries(RULES)) if (applies(def, running.owner)) taint(domain, what as Taint)
  running.deprecations = deprecated(def, context.qemu)
  for (const one of running.deprecations) taint(domain, 'deprecated-config', one)
}

/** The messages of a guest; `flags` 0 asks for all (virDomainObjGetMessages). */
export function messagesOf({ run, def }: QemuDomain, flags: number): string[] {
  if (!run) return []
  const { taints, deprecations } = run
  const wants = (bit: number) => flags === 0 || (flags & bit) !== 0
  return [
    ...(wants(VIR_DOMAIN_MESSAGE_TAINTING)
      ? Object.entries(TAINTS).flatMap(([what, message]) => (taints.has(what as Taint) ? [`tainted: ${message}`] : []))
      : []),
    ...(wants(VIR_DOMAIN_MESSAGE_DEPRECATION) ? deprecations.map(one => `deprecated configuration: ${one}`) : []),
    ...(wants(VIR_DOMAIN_MESSAGE_IOERRORS) ? def.devices.disks.flatMap(disk => ioErrorsOf(disk, run)) : [])
  ]
}

/** What QEMU last said of the images of a disk that failed (virDomainObjGetMessagesIOErrorsDisk). */
function ioErrorsOf({ source: top, target }: DiskDef, { ioErrors }: Run): string[] {
  return storageImages(top).flatMap(source => {
    const error = ioErrors.get(source)
    if (!error) return []
    const which = `disk='${target?.dev ?? '-'}', index='${source.index ?? 0}', path='${storagePath(source) ?? '-'}'`
    return [`I/O error: ${which}, timestamp='${error.time}', message='${error.message}'`]
  })
}
