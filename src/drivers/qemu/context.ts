// What the passes and the command line need to know besides the definition.
import type { Qemu } from './capabilities.ts'
import type { InheritedFiles } from './inherited-files.ts'

/** Where the files of one guest lie on the host. */
export interface GuestPaths {
  /** sockets and other run-time files of this guest */
  libDir: string
  /** sockets of `<channel type='unix'>` without a path */
  channelTargetDir: string
  /** above it, common to all guests: paths below are made up, not the user's */
  channelTargetBase: string
  /** UEFI variable stores without a path */
  nvramDir: string
  /** files the guest's memory lies in, one for each memory object */
  memoryBackingDir: string
  /** this guest's directory on a mounted hugetlbfs */
  hugepageSubdir: string
  /** QEMU's monitor socket */
  monitorSocket: string
}

/** Settings of the driver; the defaults are those of libvirt's qemu.conf. */
export interface QemuConfig {
  vncListen: string
  spiceListen: string
  /** TCP ports for `autoport`, first and last */
  vncPortMin: number
  vncPortMax: number
  /** `-sandbox on` unless false */
  seccompSandbox: boolean
  /** TLS on character devices that do not say */
  chardevTls: boolean
  chardevTlsX509CertDir: string
  /** a listening character device wants the client's certificate */
  chardevTlsX509Verify: boolean
  /** firmware descriptor directories, first wins */
  firmwareDirs: string[]
}

export const DEFAULT_CONFIG: QemuConfig = {
  vncListen: '127.0.0.1',
  spiceListen: '127.0.0.1',
  vncPortMin: 5900,
  vncPortMax: 65535,
  seccompSandbox: true,
  chardevTls: false,
  chardevTlsX509CertDir: '/etc/pki/qemu',
  chardevTlsX509Verify: true,
  firmwareDirs: ['/etc/qemu/firmware', '/usr/share/qemu/firmware']
}

/** One guest's surroundings, handed to every QEMU pass. */
export interface QemuContext {
  qemu: Qemu
  config: QemuConfig
  paths: GuestPaths
  /** running as root */
  privileged: boolean
  /** libvirt's name of the host's architecture */
  hostArch: string
  /** only a command line is wanted, nothing is started: ports stay symbolic, no host file is touched */
  pretend: boolean
  /** open files QEMU inherits: numbers on its command line */
  files: InheritedFiles
}
