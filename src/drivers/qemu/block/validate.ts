// Images QEMU cannot use (qemuDomainValidateStorageSource).
import { errorsFrom } from '../../../conf/error.ts'
import type { StorageEncryption } from '../../../conf/storage/secret.ts'
import type { StorageFormat, StorageSource } from '../../../conf/storage/source.ts'
import type { Qemu } from '../capabilities/qemu.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

const UNSUPPORTED_FORMATS: { [F in StorageFormat]?: string } = {
  cow: "'cow' storage format is not supported",
  dir: "'directory' storage format is not directly supported by QEMU, use 'dir' disk type instead",
  iso: "storage format 'iso' is not directly supported by QEMU, use 'raw' instead"
}

/** A directory is shown as a FAT file system, which nothing else is. */
function validateFat({ type, format }: StorageSource, readOnly: boolean): void {
  if (format === 'fat' && type !== 'volume' && type !== 'dir')
    throw unsupported("storage format 'fat' is supported only with 'dir' storage type")
  if (type !== 'dir') return
  if (format && format !== 'fat') throw unsupported("storage type 'dir' requires use of storage format 'fat'")
  if (!readOnly) throw unsupported("virtual FAT storage can't be accessed in read-write mode")
}

function validateNetwork(source: StorageSource): void {
  if (source.type !== 'network') return
  const { protocol, hosts } = source
  if (protocol === 'tftp') throw unsupported("'tftp' protocol is not supported with this QEMU binary")
  if (protocol === 'nfs') {
    const [host] = hosts
    if (!host || hosts.length !== 1) throw unsupported("'nfs' protocol requires the usage of exactly one host")
    if (host.transport !== 'tcp') throw unsupported("'nfs' host must use TCP protocol")
    if (host.port) throw unsupported("port cannot be specified in 'nfs' protocol host")
  }
}

function validateEncryption(encryption: StorageEncryption, source: StorageSource, qemu: Qemu): void {
  const { engine, format, secrets } = encryption
  if (format === 'default' || format === 'qcow') throw unsupported('old qcow/qcow2 encryption is not supported')
  if (engine === 'librbd') {
    if (!qemu.has('rbd-encryption')) throw unsupported('librbd encryption is not supported by this QEMU binary')
    if (source.type !== 'network') throw unsupported('librbd encryption is supported only with RBD backed disks')
    if (secrets.length > 1 && !qemu.has('rbd-encryption-layering'))
      throw unsupported('librbd encryption layering is not supported by this QEMU binary')
    if (format === 'luks-any' && !qemu.has('rbd-encryption-luks-any'))
      throw unsupported('luks-any encryption is not supported by this QEMU binary')
    return
  }
  if (format !== 'luks') throw unsupported(`'${format}' is currently not supported by the qemu encryption engine`)
  if (source.format !== 'qcow2' && source.format !== 'raw')
    throw unsupported("encryption is supported only with 'raw' and 'qcow2' image format")
  if (secrets.length > 1) throw unsupported('qemu encryption engine expects only a single secret')
}

function validateTlsHostname(source: StorageSource, qemu: Qemu): void {
  if (source.type !== 'network' || source.tlsHostname === undefined) return
  if (source.protocol !== 'nbd') throw unsupported("'tlsHostname' field is supported only with NBD disks")
  if (!qemu.has('blockdev.nbd.tls-hostname')) throw unsupported("'tlsHostname' field is not supported by this QEMU")
}

/** @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateStorage(source: StorageSource, readOnly: boolean, qemu: Qemu): void {
  const { format, reservations, metadataCacheMaxSize, encryption } = source
  const message = format && UNSUPPORTED_FORMATS[format]
  if (message) throw unsupported(message)
  validateFat(source, readOnly)
  if (reservations && !qemu.has('pr-manager-helper'))
    throw unsupported('reservations not supported with this QEMU binary')
  validateNetwork(source)
  if (metadataCacheMaxSize && format !== 'qcow2')
    throw unsupported('metadata cache max size control is supported only with qcow2 images')
  if (encryption) validateEncryption(encryption, source, qemu)
  validateTlsHostname(source, qemu)
}
