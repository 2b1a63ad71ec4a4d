// CPU features whose names differ between libvirt's XML and QEMU (virQEMUCapsCPUFeaturesX86).

const QEMU_NAMES: Record<string, string> = {
  cmp_legacy: 'cmp-legacy',
  ds_cpl: 'ds-cpl',
  fxsr_opt: 'fxsr-opt',
  kvm_pv_eoi: 'kvm-pv-eoi',
  kvm_pv_unhalt: 'kvm-pv-unhalt',
  lahf_lm: 'lahf-lm',
  nodeid_msr: 'nodeid-msr',
  pclmuldq: 'pclmulqdq',
  perfctr_core: 'perfctr-core',
  perfctr_nb: 'perfctr-nb',
  tsc_adjust: 'tsc-adjust',
  'vmx-invvpid-single-context-noglobals': 'vmx-invept-single-context-noglobals'
}
const LIBVIRT_NAMES: Record<string, string> = Object.fromEntries(
  Object.entries(QEMU_NAMES).map(([libvirt, qemu]) => [qemu, libvirt])
)

const isX86 = (arch: string): boolean => arch === 'i686' || arch === 'x86_64'

/** QEMU's name of a feature of libvirt's XML. */
export const qemuFeatureName = (name: string, arch: string): string => (isX86(arch) && QEMU_NAMES[name]) || name

/** libvirt's name of a CPU property of QEMU. */
export const libvirtFeatureName = (name: string, arch: string): string => (isX86(arch) && LIBVIRT_NAMES[name]) || name
