// <launchSecurity>: the object that guards the guest's memory; -machine names it.
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { giveTo, type ProcessOwner } from '../../../host/owner.ts'
import type { QemuContext } from '../context.ts'
import type { Command } from './command.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** The object's id. */
export const LAUNCH_SECURITY_ID = 'lsec0'

/** Files of the guest's directory that hold what the owner's certificate and session data say. */
const DH_CERT_FILE = 'dh_cert.base64'
const SESSION_FILE = 'session.base64'

/** The guarding object; its files are written by writeLaunchSecurityFiles (qemuBuildSecCommandLine). */
export function launchSecurityArgs(command: Command): void {
  const { def, context } = command
  const { launchSecurity } = def
  if (launchSecurity?.type === 's390-pv') command.object({ 'qom-type': 's390-pv-guest', id: LAUNCH_SECURITY_ID })
  if (launchSecurity?.type !== 'sev') return
  const file = (content: string | undefined, name: string) => content && join(context.paths.libDir, name)
  command.object({
    'qom-type': 'sev-guest',
    id: LAUNCH_SECURITY_ID,
    cbitpos: launchSecurity.cbitpos ?? context.qemu.sev?.cbitpos,
    'reduced-phys-bits': launchSecurity.reducedPhysBits ?? context.qemu.sev?.reducedPhysBits,
    policy: launchSecurity.policy,
    'dh-cert-file': file(launchSecurity.dhCert, DH_CERT_FILE),
    'session-file': file(launchSecurity.session, SESSION_FILE),
    'kernel-hashes': launchSecurity.kernelHashes
  })
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

/** @throws VIR_ERR_CONFIG_UNSUPPORTED; libvirt: the last part of qemuValidateDomainDef */
export function validateLaunchSecurity({ launchSecurity }: DomainDef, { qemu }: QemuContext): void {
  const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
  if (launchSecurity?.type === 'sev') {
    if (!qemu.has('sev-guest') || !qemu.sev)
      throw unsupported('SEV launch security is not supported with this QEMU binary')
    if (launchSecurity.kernelHashes !== undefined && !qemu.has('sev-guest-kernel-hashes')) {
      throw unsupported('SEV measured direct kernel boot is not supported with this QEMU binary')
    }
  }
  if (launchSecurity?.type === 's390-pv') {
    if (!qemu.has('confidential-guest-support') || !qemu.has('s390-pv-guest')) {
      throw unsupported('S390 PV launch security is not supported with this QEMU binary')
    }
  }
}
