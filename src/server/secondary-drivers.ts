// libvirt's other drivers, asked over their sockets. A connection lasts as long as a question and what belongs to it.
import { errorsFrom, toVirError } from '../conf/error.ts'
import { element, formatXml, parseXml } from '../conf/xml.ts'
import type { Lease, NewVolume, SecondaryDrivers } from '../drivers/secondary-drivers.ts'
import { type DriverConnection, openDriver } from './rpc/driver-calls.ts'
import { driverUri } from './rpc/libvirt-sockets.ts'
import type { SecondaryDriver } from './rpc/secondary-drivers.ts'

const failLibrary = errorsFrom('VIR_FROM_NONE')
const failStorage = errorsFrom('VIR_FROM_STORAGE')
const failNetwork = errorsFrom('VIR_FROM_NETWORK')
const failSecret = errorsFrom('VIR_FROM_SECRET')

/** VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA */
const PREALLOC_METADATA = 1

/** virSecretUsageType */
const USAGE_TYPES = ['none', 'volume', 'ceph', 'iscsi', 'tls', 'vtpm']

const absent: Partial<Record<SecondaryDriver, () => Error>> = {
  network: () => failNetwork('VIR_ERR_NO_SUPPORT', 'no network driver: neither virtnetworkd nor libvirtd is there'),
  storage: () => failStorage('VIR_ERR_NO_SUPPORT', 'no storage driver: neither virtstoraged nor libvirtd is there'),
  secret: () => failSecret('VIR_ERR_NO_SUPPORT', 'no secret driver: neither virtsecretd nor libvirtd is there')
}

/** The pool that a volume is to be made in, undefined where it is there. */
async function poolFor(driver: DriverConnection, { pool: poolName, directory, name }: NewVolume) {
  const { pool } =
    poolName === undefined
      ? await driver.call('STORAGE_POOL_LOOKUP_BY_TARGET_PATH', { path: directory })
      : await driver.call('STORAGE_POOL_LOOKUP_BY_NAME', { name: poolName })
  try {
    await driver.call('STORAGE_VOL_LOOKUP_BY_NAME', { pool, name })
    return undefined
  } catch (error) {
    if (toVirError(error).code !== 'VIR_ERR_NO_STORAGE_VOL') throw error
    return pool
  }
}

/** The drivers whose sockets lie in a directory; without one there are none. */
export function secondaryDrivers(directory: string | undefined): SecondaryDrivers {
  async function asking<T>(
    driver: SecondaryDriver,
    ask: (of: DriverConnection) => Promise<T>,
    missing = absent[driver]!
  ): Promise<T> {
    const connection = directory === undefined ? undefined : await openDriver(driver, directory)
    if (!connection) throw missing()
    try {
      return await ask(connection)
    } finally {
      connection.close()
    }
  }
  return {
    // virDomainNetCreatePort
    createPort: (name, xml) =>
      asking('network', async driver => {
        const { net } = await driver.call('NETWORK_LOOKUP_BY_NAME', { name })
        const { port } = await driver.call('NETWORK_PORT_CREATE_XML', { net, xml, flags: 0 })
        try {
          const plugged = await driver.call('NETWORK_PORT_GET_XML_DESC', { port, flags: 0 })
          return { uuid: port.uuid, xml: plugged.xml }
        } catch (error) {
          await driver.call('NETWORK_PORT_DELETE', { port, flags: 0 }).catch(() => undefined)
          throw error
        }
      }),
    // virDomainNetReleaseActualDevice
    deletePort: (name, uuid) =>
      asking('network', async driver => {
        const { net } = await driver.call('NETWORK_LOOKUP_BY_NAME', { name })
        const { port } = await driver.call('NETWORK_PORT_LOOKUP_BY_UUID', { net, uuid })
        await driver.call('NETWORK_PORT_DELETE', { port, flags: 0 })
      }),
    // virDomainNetDHCPInterfaces, qemuDomainGetHostnameLease
    leases: of =>
      asking(
        'network',
        async driver => {
          const all: Lease[][] = []
          for (const { network, mac } of of) {
            const { net } = await driver.call('NETWORK_LOOKUP_BY_NAME', { name: network })
            const { leases } = await driver.call('NETWORK_GET_DHCP_LEASES', { net, mac, need_results: 1, flags: 0 })
            all.push(
              leases.map(({ type, ipaddr, prefix, hostname }) => ({
                type,
                addr: ipaddr,
                prefix,
                ...(hostname !== undefined && { hostname })
              }))
            )
          }
          return all
        },
        // virGetConnectNetwork
        () => failLibrary('VIR_ERR_NO_CONNECT', driverUri('network'))
      ),
    // virDomainStorageSourceTranslateSourcePool
    volume: (poolName, name) =>
      asking('storage', async driver => {
        const { pool } = await driver.call('STORAGE_POOL_LOOKUP_BY_NAME', { name: poolName })
        const { active } = await driver.call('STORAGE_POOL_IS_ACTIVE', { pool })
        if (active !== 1) {
          throw errorsFrom('VIR_FROM_DOMAIN')(
            'VIR_ERR_CONFIG_UNSUPPORTED',
            `storage pool '${poolName}' containing volume '${name}' is not active`
          )
        }
        const { vol } = await driver.call('STORAGE_VOL_LOOKUP_BY_NAME', { pool, name })
        const { type } = await driver.call('STORAGE_VOL_GET_INFO', { vol })
        const { xml } = await driver.call('STORAGE_POOL_GET_XML_DESC', { pool, flags: 0 })
        const path = await driver.call('STORAGE_VOL_GET_PATH', { vol })
        const { attributes } = parseXml(xml, '(storage_pool_definition)')
        return { path: path.name, type, poolType: attributes.type ?? '' }
      }),
    // networkAllocatePort
    checkNetwork: name =>
      asking('network', async driver => {
        const { net } = await driver.call('NETWORK_LOOKUP_BY_NAME', { name })
        const { active } = await driver.call('NETWORK_IS_ACTIVE', { net })
        if (active !== 1) throw failNetwork('VIR_ERR_OPERATION_INVALID', `network '${name}' is not active`)
      }),
    roomFor: volume =>
      asking('storage', async driver => {
        const pool = await poolFor(driver, volume)
        if (pool === undefined) return undefined
        return BigInt((await driver.call('STORAGE_POOL_GET_INFO', { pool })).available)
      }),
    // qemuMigrationDstPrecreateDisk
    createVolume: volume =>
      asking('storage', async driver => {
        const pool = await poolFor(driver, volume)
        if (pool === undefined) return
        const { directory, name, format, capacity } = volume
        const isQcow2 = format === 'qcow2'
        const xml = element('volume', {}, [
          element('name', {}, [name]),
          isQcow2 ? element('allocation', {}, ['0']) : undefined,
          element('capacity', {}, [String(capacity)]),
          element('target', {}, [
            element('format', { type: format }),
            isQcow2 && directory !== undefined ? element('compat', {}, ['1.1']) : undefined
          ])
        ])
        await driver.call('STORAGE_VOL_CREATE_XML', {
          pool,
          xml: formatXml(xml),
          flags: isQcow2 ? PREALLOC_METADATA : 0
        })
      }),
    secret: (usage, lookup) =>
      asking('secret', async driver => {
        const { secret } =
          'uuid' in lookup
            ? await driver.call('SECRET_LOOKUP_BY_UUID', { uuid: lookup.uuid })
            : await driver.call('SECRET_LOOKUP_BY_USAGE', {
                usageType: USAGE_TYPES.indexOf(usage),
                usageID: lookup.usage
              })
        const { value } = await driver.call('SECRET_GET_VALUE', { secret, flags: 0 })
        return value
      })
  }
}
