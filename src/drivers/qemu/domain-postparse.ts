// QEMU's domain-wide defaults (qemuDomainDefPostParse).
import type { DomainDef } from '../../conf/domain-def.ts'
import { errorsFrom } from '../../conf/error.ts'
import type { QemuContext } from './context.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** The emulator, before anything can be asked of it. */
export function postParseBasic(def: DomainDef): void {
  def.devices.emulator ??= '/usr/bin/qemu-system-x86_64'
}

/** libvirt's steps, in its order. */
const STEPS: ((def: DomainDef, context: QemuContext) => void)[] = []

export function postParseDomain(def: DomainDef, context: QemuContext): void {
  void fail
  for (const step of STEPS) step(def, context)
}
