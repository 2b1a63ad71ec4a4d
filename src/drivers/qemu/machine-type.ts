// Architectures and families of machine types, told by name as libvirt does (qemuDomainMachineIs…, ARCH_IS_…).
import { archFamily, isArmArch, isMipsArch, isPpc64Arch, isRiscvArch, isS390Arch, isX86Arch } from '../../conf/arch.ts'
import type { DomainDef } from '../../conf/domain-def.ts'
import type { Qemu } from './capabilities/qemu.ts'

const arch = (isOne: (arch: string | undefined) => boolean) => (def: DomainDef) => isOne(def.os.arch)
const named = (names: RegExp) => arch(archFamily(names))

export const isX86 = arch(isX86Arch)
export const isArm = arch(isArmArch)
export const isPpc64 = arch(isPpc64Arch)
export const isRiscv = arch(isRiscvArch)
export const isS390 = arch(isS390Arch)
export const isMips = arch(isMipsArch)

const machine = (of: (def: DomainDef) => boolean, names: RegExp) => (def: DomainDef) =>
  of(def) && names.test(def.os.machine ?? '')

/** 440FX: `pc` and everything called pc-…, but not q35. */
export const isI440fx = machine(isX86, /^(pc$|pc-0\.|pc-1\.|pc-i440fx-|rhel)/)
export const isXenFv = machine(isX86, /^xenfv(-|$)/)
export const isQ35 = machine(isX86, /^(q35$|pc-q35-)/)
export const isArmVirt = machine(named(/^(armv6l|armv7l|aarch64)$/), /^virt(-|$)/)
export const isRiscvVirt = machine(isRiscv, /^virt(-|$)/)
export const isPseries = machine(isPpc64, /^pseries(-|$)/)
export const isS390Ccw = machine(isS390, /^s390-ccw/)
export const isMipsMalta = machine(isMips, /^malta$/)

/** Machines with an IDE controller on board (qemuDomainHasBuiltinIDE). */
export const hasBuiltinIde = (def: DomainDef): boolean =>
  isI440fx(def) || /^(malta|sun4u|g3beige)$/.test(def.os.machine ?? '')

/** Machines with an ESP SCSI controller on board (qemuDomainHasBuiltinESP). */
export const hasBuiltinEsp = (def: DomainDef): boolean =>
  named(/^sparc$/)(def) ||
  machine(named(/^mips64(el)?$/), /^(magnum|pica61)$/)(def) ||
  machine(named(/^m68k$/), /^q800$/)(def)

/** Targets whose PCI controllers each have a name of their own (virQEMUCapsHasPCIMultiBus). */
export const hasPciMultiBus = (def: DomainDef): boolean =>
  isX86(def) || named(/^ppc(64(le)?)?$/)(def) || isS390(def) || isArmVirt(def) || isRiscvVirt(def)

/** Machines with a PS/2 controller, of a QEMU that has them (virQEMUCapsSupportsI8042). */
export const hasPs2 = (def: DomainDef, qemu: Qemu): boolean =>
  qemu.has('i8042') && (isI440fx(def) || isQ35(def) || isXenFv(def) || def.os.machine === 'isapc')
