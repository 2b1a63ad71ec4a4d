// Surroundings of a guest: all that the passes and the command line need beside the definition.

import type { InheritedFiles } from '../../host/inherited-files.ts'
import type { SecretStore } from '../../state/secrets.ts'
import type { SecondaryDrivers } from '../secondary-drivers.ts'
import type { Qemu } from './capabilities/qemu.ts'

/** Paths of one guest's files on the host. */
export interface GuestPaths {
  /** sockets and other run-time files of this guest */
  libDir: string
  /** sockets of `<channel type='unix'>` without a path */
  channelTargetDir: string
  /** UEFI variable stores without a path */
  nvramDir: string
  /** files the guest's memory lies in, one for each memory object */
  memoryBackingDir: string
  /** this guest's directory on a mounted hugetlbfs */
  hugepageSubdir: string
  /** the emulated TPM's state, which outlives the guest's runs */
  swtpmDir: string
  /** socket of the emulated TPM */
  swtpmSocket: string
  /** directory of sockets that QEMU makes by itself */
  socketDir: string
  /** QEMU's monitor socket */
  monitorSocket: string
  /** socket of the guest's own D-Bus daemon */
  dbusSocket: string
}

/** Settings of the driver; the defaults are those of libvirt's qemu.conf. */
export interface QemuConfig {
  vncListen: string
  spiceListen: string
  /** TCP ports for VNC and Spice servers with `autoport`, first and last */
  remotePortMin: number
  remotePortMax: number
  /** address at which guests that are migrated here are waited for; absent: all there are */
  migrationAddress?: string
  /** name or address by which their sources find this host; absent: its own name */
  migrationHost?: string
  /** TCP ports at which guests that are migrated here are waited for */
  migrationPortMin: number
  migrationPortMax: number
  /** TCP ports for VNC's websocket -1 */
  webSocketPortMin: number
  webSocketPortMax: number
  /** Spice servers may be encrypted, with the certificates below the directory */
  spiceTls: boolean
  spiceTlsX509CertDir: string
  /** directory of libvirt's own sockets: a VNC socket below it was not chosen by the user */
  libDir: string
  /** `-sandbox on` unless false */
  seccompSandbox: boolean
  /** TLS on character devices that do not say */
  chardevTls: boolean
  chardevTlsX509CertDir: string
  /** a listening character device wants the client's certificate */
  chardevTlsX509Verify: boolean
  /** TLS towards NBD and VxHS servers for images that do not say */
  nbdTls: boolean
  nbdTlsX509CertDir: string
  /** of the NBD server that backups are fetched from */
  backupTlsX509CertDir: string
  backupTlsX509Verify: boolean
  /** of migrations; absent: the host's default */
  migrateTlsX509CertDir?: string
  /** a destination wants the source's certificate */
  migrateTlsX509Verify: boolean
  /** the secret of the certificates' key; absent: it needs none */
  migrateTlsX509SecretUuid?: string
  /** GnuTLS's priorities for migrations; absent: its default */
  migrateTlsPriority?: string
  /** migrations must be encrypted */
  migrateTlsForce: boolean
  vxhsTls: boolean
  vxhsTlsX509CertDir: string
  /** of QEMU's gluster client, 0 to 9 */
  glusterDebugLevel: number
  /** firmware descriptor directories, first wins */
  firmwareDirs: string[]
}

export const DEFAULT_CONFIG: QemuConfig = {
  vncListen: '127.0.0.1',
  spiceListen: '127.0.0.1',
  remotePortMin: 5900,
  remotePortMax: 65535,
  migrationPortMin: 49152,
  migrationPortMax: 49215,
  webSocketPortMin: 5700,
  webSocketPortMax: 65535,
  spiceTls: false,
  spiceTlsX509CertDir: '/etc/pki/qemu',
  libDir: '/var/lib/libvirt/qemu',
  seccompSandbox: true,
  chardevTls: false,
  chardevTlsX509CertDir: '/etc/pki/qemu',
  chardevTlsX509Verify: true,
  nbdTls: false,
  nbdTlsX509CertDir: '/etc/pki/qemu',
  backupTlsX509CertDir: '/etc/pki/qemu',
  backupTlsX509Verify: true,
  migrateTlsX509Verify: true,
  migrateTlsForce: false,
  vxhsTls: false,
  vxhsTlsX509CertDir: '/etc/pki/qemu',
  glusterDebugLevel: 4,
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
  /** the host's secrets, by usage type (volume, iscsi, ceph) and by what names them */
  secrets: SecretStore
  /** brings libvirt's other drivers; absent where there can be none */
  drivers?: (() => Promise<SecondaryDrivers>) | undefined
  /** only a command line is wanted, nothing is started: ports stay symbolic, no host file is touched */
  pretend: boolean
  /** open files QEMU inherits: numbers on its command line */
  files: InheritedFiles
}
