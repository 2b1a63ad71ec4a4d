// <launchSecurity>: the object that guards the guest's memory; -machine names it.
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LaunchSecurityDef } from '../../../conf/domain/launch-security.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { hasTdx } from '../../../host/devices.ts'
import { giveTo, type ProcessOwner } from '../../../host/owner.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { QemuContext } from '../context.ts'
import type { Props } from '../parts/props.ts'
import type { Command } from './command.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** The object's id. */
export const LAUNCH_SECURITY_ID = 'lsec0'

/** Files of the guest's directory that hold what the owner's certificate and session data say. */
const DH_CERT_FILE = 'dh_cert.base64'
const SESSION_FILE = 'session.base64'

/** Where the host's service for TDX's quotes listens. */
const QUOTE_SERVICE_SOCKET = '/var/run/tdx-qgs/qgs.socket'

/** The guarding object; its files are written by writeLaunchSecurityFiles (qemuBuildSecCommandLine). */
export function launchSecurityArgs(command: Command): void {
  const { def, context } = command
  const { launchSecurity } = def
  if (!launchSecurity) return
  const { qom, props } = OBJECTS[launchSecurity.type]
  command.object({ 'qom-type': qom, id: LAUNCH_SECURITY_ID, ...props(launchSecurity as never, context) })
}

type KindOf<T extends LaunchSecurityDef['type']> = Extract<LaunchSecurityDef, { type: T }>

/** The objects by kind: QEMU's type, and its properties. */
const OBJECTS: {
  [T in LaunchSecurityDef['type']]: { qom: string; props: (def: KindOf<T>, context: QemuContext) => Props }
} = {
  sev: { qom: 'sev-guest', props: sevProps },
  'sev-snp': { qom: 'sev-snp-guest', props: sevSnpProps },
  's390-pv': { qom: 's390-pv-guest', props: () => ({}) },
  tdx: { qom: 'tdx-guest', props: tdxProps }
}

/** The place of the encryption in page table entries, of the host where the guest does not say. */
const encryptionProps = (def: KindOf<'sev' | 'sev-snp'>, { qemu }: QemuContext): Props => ({
  cbitpos: def.cbitpos ?? qemu.sev?.cbitpos,
  'reduced-phys-bits': def.reducedPhysBits ?? qemu.sev?.reducedPhysBits
})

function sevProps(def: KindOf<'sev'>, context: QemuContext): Props {
  const file = (content: string | undefined, name: string) => content && join(context.paths.libDir, name)
  return {
    ...encryptionProps(def, context),
    policy: def.policy,
    'dh-cert-file': file(def.dhCert, DH_CERT_FILE),
    'session-file': file(def.session, SESSION_FILE),
    'kernel-hashes': def.kernelHashes
  }
}

function sevSnpProps(def: KindOf<'sev-snp'>, context: QemuContext): Props {
  return {
    ...encryptionProps(def, context),
    'kernel-hashes': def.kernelHashes,
    policy: def.policy,
    'guest-visible-workarounds': def.guestVisibleWorkarounds,
    'id-block': def.idBlock,
    'id-auth': def.idAuth,
    'host-data': def.hostData,
    'author-key-enabled': def.authorKey,
    'vcek-disabled': def.vcek === undefined ? undefined : !def.vcek
  }
}

function tdxProps({ quoteGenerationService: service, ...def }: KindOf<'tdx'>): Props {
  return {
    mrconfigid: def.mrConfigId,
    mrowner: def.mrOwner,
    mrownerconfig: def.mrOwnerConfig,
    'quote-generation-socket': service && { type: 'unix', path: service.path ?? QUOTE_SERVICE_SOCKET },
    attributes: def.policy
  }
}

/** Puts the owner's certificate and session data where QEMU reads them. @throws VIR_ERR_SYSTEM_ERROR */
export function writeLaunchSecurityFiles({ launchSecurity }: DomainDef, directory: string, owner: ProcessOwner): void {
  if (launchSecurity?.type !== 'sev') return
  for (const [name, content] of [
    [DH_CERT_FILE, launchSecurity.dhCert],
    [SESSION_FILE, launchSecurity.session]
  ] as const) {
    if (content === undefined) continue
    const file = join(directory, name)
    try {
      rmSync(file, { force: true })
      writeFileSync(file, content, { mode: 0o600, flag: 'wx' })
    } catch (error) {
      const reason = (error as Error).message
      throw fail('VIR_ERR_SYSTEM_ERROR', `failed to write data to config '${file}': ${reason}`, error)
    }
    giveTo(file, owner)
  }
}

/** Removes the files of writeLaunchSecurityFiles; none need be there. @param directory the guest's libDir */
export function removeLaunchSecurityFiles(directory: string): void {
  for (const name of [DH_CERT_FILE, SESSION_FILE]) rmSync(join(directory, name), { force: true })
}

/** The kinds that QEMU and the host can do (virQEMUCapsFillDomainLaunchSecurity). */
const SUPPORTED: Record<LaunchSecurityDef['type'], (qemu: Qemu) => boolean> = {
  sev: qemu => qemu.has('sev-guest') && qemu.sev !== undefined,
  'sev-snp': qemu => qemu.has('sev-snp-guest') && qemu.sev !== undefined,
  's390-pv': qemu => qemu.has('s390-pv-guest') && qemu.has('confidential-guest-support'),
  tdx: qemu => qemu.has('tdx-guest') && hasTdx()
}

/** @throws VIR_ERR_CONFIG_UNSUPPORTED; libvirt: the last part of qemuValidateDomainDef */
export function validateLaunchSecurity({ launchSecurity }: DomainDef, { qemu }: QemuContext): void {
  if (!launchSecurity) return
  const { type } = launchSecurity
  const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
  if (!SUPPORTED[type](qemu)) throw unsupported(`'${type}' launch security is not supported with this QEMU binary`)
  if (type === 'sev' && launchSecurity.kernelHashes !== undefined && !qemu.has('sev-guest-kernel-hashes')) {
    throw unsupported('SEV measured direct kernel boot is not supported with this QEMU binary')
  }
}
