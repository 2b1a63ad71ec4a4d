// Families of machine types, told by name as libvirt does.
import type { DomainDef } from '../../conf/domain-def.ts'

/** 440FX: `pc` and everything called pc-…, but not q35. */
export function isI440fx(def: DomainDef): boolean {
  const machine = def.os.machine ?? ''
  return (
    /^(i686|x86_64)$/.test(def.os.arch ?? '') &&
    (machine === 'pc' || /^pc-(0\.|1\.|i440)/.test(machine) || /^rhel\d/.test(machine))
  )
}

export function isQ35(def: DomainDef): boolean {
  return /^(pc-)?q35/.test(def.os.machine ?? '')
}
