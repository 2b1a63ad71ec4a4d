// libvirt's drivers beside QEMU's, as far as a guest's start needs them. They are other daemons', and may not be there.
import type { SecretLookup } from '../conf/storage/secret.ts'
import type { SecretUsage } from '../state/secrets.ts'

/** A guest's port on a network. */
export interface NetworkPort {
  uuid: string
  /** its `<networkport>`, with what the guest is to be plugged into */
  xml: string
}

/** A volume of an active pool. */
export interface Volume {
  path: string
  /** virStorageVolType */
  type: number
  /** the pool's `type` */
  poolType: string
}

/** A volume that is to be there: its pool's name, or the directory that the pool is in. */
export type NewVolume = ({ pool: string; directory?: undefined } | { directory: string; pool?: undefined }) & {
  name: string
  format: string
  /** bytes */
  capacity: bigint
}

/** An address that a network has given out. */
export interface Lease {
  /** virIPAddrType */
  type: number
  addr: string
  prefix: number
  hostname?: string
}

/** Each call fails as the driver does, with its error, or with VIR_ERR_NO_SUPPORT where there is no such driver. */
export interface SecondaryDrivers {
  /** Checks that a network is there and active. @throws VIR_ERR_NO_NETWORK, VIR_ERR_OPERATION_INVALID */
  checkNetwork(network: string): Promise<void>
  /** @param xml a `<networkport>` without plug */
  createPort(network: string, xml: string): Promise<NetworkPort>
  deletePort(network: string, uuid: string): Promise<void>
  /**
   * The addresses that networks have given to interfaces, for each in the order asked.
   * @throws VIR_ERR_NO_CONNECT where there is no such driver
   */
  leases(of: readonly { network: string; mac: string }[]): Promise<Lease[][]>
  volume(pool: string, name: string): Promise<Volume>
  /** Bytes that are left for a volume in its pool; undefined where it is there. */
  roomFor(volume: NewVolume): Promise<bigint | undefined>
  /** Makes a volume, unless it is there. */
  createVolume(volume: NewVolume): Promise<void>
  secret(usage: SecretUsage, lookup: SecretLookup): Promise<Uint8Array>
}
