// Families of architectures by their names (ARCH_IS_… of virarch.h).

/** Tells whether an architecture's name is among these. */
export const archFamily = (names: RegExp) => (arch: string | undefined) => arch !== undefined && names.test(arch)

export const isX86Arch = archFamily(/^(i686|x86_64)$/)
export const isArmArch = archFamily(/^(armv6l|armv7l|armv7b|aarch64)$/)
export const isPpc64Arch = archFamily(/^ppc64(le)?$/)
export const isRiscvArch = archFamily(/^riscv(32|64)$/)
export const isS390Arch = archFamily(/^s390x?$/)
export const isMipsArch = archFamily(/^mips(64)?(el)?$/)
