// virshim's own calls to libvirt's other drivers, in the notation of remote-protocol.ts, and their daemons.
import { type Layout, layoutOf, type Values } from './codec.ts'
import { REMOTE_PROGRAM } from './frame.ts'
import { driverLinks } from './libvirt-sockets.ts'
import { Link } from './link.ts'
import type { ArgsIn, NameIn, RetIn } from './notation.ts'
import type { SecondaryDriver } from './secondary-drivers.ts'

const CALLS = {
  46: 'NETWORK_LOOKUP_BY_NAME name:string > net:network',
  84: 'STORAGE_POOL_LOOKUP_BY_NAME name:string > pool:storagePool',
  87: 'STORAGE_POOL_GET_INFO pool:storagePool > state:uint capacity:uhyper allocation:uhyper available:uhyper',
  88: 'STORAGE_POOL_GET_XML_DESC pool:storagePool flags:uint > xml:string',
  93: 'STORAGE_VOL_CREATE_XML pool:storagePool xml:string flags:uint > vol:storageVol',
  95: 'STORAGE_VOL_LOOKUP_BY_NAME pool:storagePool name:string > vol:storageVol',
  98: 'STORAGE_VOL_GET_INFO vol:storageVol > type:int capacity:uhyper allocation:uhyper',
  100: 'STORAGE_VOL_GET_PATH vol:storageVol > name:string',
  141: 'SECRET_LOOKUP_BY_UUID uuid:uuid > secret:secret',
  145: 'SECRET_GET_VALUE secret:secret flags:uint > value:opaque<65536>',
  147: 'SECRET_LOOKUP_BY_USAGE usageType:int usageID:string > secret:secret',
  152: 'NETWORK_IS_ACTIVE net:network > active:int',
  154: 'STORAGE_POOL_IS_ACTIVE pool:storagePool > active:int',
  341: 'NETWORK_GET_DHCP_LEASES net:network mac:string? need_results:int flags:uint > leases:dhcpLease<65536> ret:uint',
  391: 'STORAGE_POOL_LOOKUP_BY_TARGET_PATH path:string > pool:storagePool',
  405: 'NETWORK_PORT_LOOKUP_BY_UUID net:network uuid:uuid > port:networkPort',
  406: 'NETWORK_PORT_CREATE_XML net:network xml:string flags:uint > port:networkPort',
  409: 'NETWORK_PORT_GET_XML_DESC port:networkPort flags:uint > xml:string',
  410: 'NETWORK_PORT_DELETE port:networkPort flags:uint'
} as const

type Called = (typeof CALLS)[keyof typeof CALLS]
export type DriverCall = NameIn<Called>
type CalledBy<Name extends DriverCall> = Extract<Called, `${Name} ${string}`>

const calls = new Map<string, { procedure: number; layout: Layout }>()
for (const [number, notation] of Object.entries(CALLS)) {
  const layout = layoutOf(notation)
  calls.set(layout.name, { procedure: Number(number), layout })
}

/** One driver, connected. */
export interface DriverConnection {
  call<N extends DriverCall>(name: N, args: ArgsIn<CalledBy<N>>): Promise<RetIn<CalledBy<N>>>
  close(): void
}

/** Connects to a driver's daemon; undefined where there is none. */
export async function openDriver(driver: SecondaryDriver, directory: string): Promise<DriverConnection | undefined> {
  for (const options of driverLinks(driver, directory, false)) {
    const link = new Link(options, { frame: () => undefined, ended: () => undefined })
    try {
      await link.opened()
    } catch {
      continue
    }
    return {
      call: (name, args) =>
        link.call({ program: REMOTE_PROGRAM, ...calls.get(name)! }, args as Values) as Promise<never>,
      close: () => link.close()
    }
  }
  return undefined
}
