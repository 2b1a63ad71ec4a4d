// Post-copy needs the kernel to tell QEMU of faults; libvirt's packages switch that on.
import { existsSync, writeFileSync } from 'node:fs'

const FAULTS = '/proc/sys/vm/unprivileged_userfaultfd'

/** Switches it on. It stays so while tests run, as others may be at it; scripts/run-tests.mjs has it as it was. */
export function allowPostcopy(): void {
  if (existsSync(FAULTS)) writeFileSync(FAULTS, '1')
}
