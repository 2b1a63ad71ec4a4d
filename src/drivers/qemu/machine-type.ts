// Architectures and families of machine types, told by name as libvirt does (qemuDomainMachineIs…, ARCH_IS_…).
import type { DomainDef } from '../../conf/domain-def.ts'

const arch = (names: RegExp) => (def: DomainDef) => names.test(def.os.arch ?? '')

export const isX86 = arch(/^(i686|x86_64)$/)
export const isArm = arch(/^(armv6l|armv7l|armv7b|aarch64)$/)
export const isPpc64 = arch(/^ppc64(le)?$/)
export const isRiscv = arch(/^riscv(32|64)$/)
export const isS390 = arch(/^s390x?$/)
export const isMips = arch(/^mips(64)?(el)?$/)

const machine = (of: (def: DomainDef) => boolean, names: RegExp) => (def: DomainDef) =>
  of(def) && names.test(def.os.machine ?? '')

/** 440FX: `pc` and everything called pc-…, but not q35. */
export const isI440fx = machine(isX86, /^(pc$|pc-0\.|pc-1\.|pc-i440fx-|rhel)/)
export const isQ35 = machine(isX86, /^(q35$|pc-q35-)/)
export const isArmVirt = machine(arch(/^(armv6l|armv7l|aarch64)$/), /^virt(-|$)/)
export const isRiscvVirt = machine(isRiscv, /^virt(-|$)/)
export const isPseries = machine(isPpc64, /^pseries(-|$)/)
export const isS390Ccw = machine(isS390, /^s390-ccw/)
export const isMipsMalta = machine(isMips, /^malta$/)

/** Machines with an IDE controller on board (qemuDomainHasBuiltinIDE). */
export const hasBuiltinIde = (def: DomainDef): boolean =>
  isI440fx(def) || /^(malta|sun4u|g3beige)$/.test(def.os.machine ?? '')

/** Machines with an ESP SCSI controller on board (qemuDomainHasBuiltinESP). */
export const hasBuiltinEsp = (def: DomainDef): boolean =>
  arch(/^sparc$/)(def) ||
  machine(arch(/^mips64(el)?$/), /^(magnum|pica61)$/)(def) ||
  machine(arch(/^m68k$/), /^q800$/)(def)

/** Targets whose PCI controllers each have a name of their own (virQEMUCapsHasPCIMultiBus). */
export const hasPciMultiBus = (def: DomainDef): boolean =>
  isX86(def) || arch(/^ppc(64(le)?)?$/)(def) || isS390(def) || isArmVirt(def) || isRiscvVirt(def)
