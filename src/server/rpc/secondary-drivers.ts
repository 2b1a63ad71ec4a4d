// Procedures of the drivers beside QEMU's: networks, storage, secrets, node devices, filters, host interfaces. Virshim has
// none of them; where libvirt's daemons have, their calls are passed on. Source: remote_protocol.x of libvirt 12.8.0, without
// its events, which nobody calls.
import { type ErrorDomain, errorsFrom } from '../../conf/error.ts'
import type { Reply } from './client.ts'
import { type Frame, REMOTE_PROGRAM } from './frame.ts'
import { functionName } from './procedures.ts'

const fail = errorsFrom('VIR_FROM_RPC')

const SECONDARY_CALLS: Readonly<Record<number, string>> = {
  36: 'CONNECT_LIST_DEFINED_NETWORKS',
  38: 'CONNECT_LIST_NETWORKS',
  39: 'NETWORK_CREATE',
  40: 'NETWORK_CREATE_XML',
  41: 'NETWORK_DEFINE_XML',
  42: 'NETWORK_DESTROY',
  43: 'NETWORK_GET_XML_DESC',
  44: 'NETWORK_GET_AUTOSTART',
  45: 'NETWORK_GET_BRIDGE_NAME',
  46: 'NETWORK_LOOKUP_BY_NAME',
  47: 'NETWORK_LOOKUP_BY_UUID',
  48: 'NETWORK_SET_AUTOSTART',
  49: 'NETWORK_UNDEFINE',
  50: 'CONNECT_NUM_OF_DEFINED_NETWORKS',
  52: 'CONNECT_NUM_OF_NETWORKS',
  71: 'CONNECT_NUM_OF_STORAGE_POOLS',
  72: 'CONNECT_LIST_STORAGE_POOLS',
  73: 'CONNECT_NUM_OF_DEFINED_STORAGE_POOLS',
  74: 'CONNECT_LIST_DEFINED_STORAGE_POOLS',
  75: 'CONNECT_FIND_STORAGE_POOL_SOURCES',
  76: 'STORAGE_POOL_CREATE_XML',
  77: 'STORAGE_POOL_DEFINE_XML',
  78: 'STORAGE_POOL_CREATE',
  79: 'STORAGE_POOL_BUILD',
  80: 'STORAGE_POOL_DESTROY',
  81: 'STORAGE_POOL_DELETE',
  82: 'STORAGE_POOL_UNDEFINE',
  83: 'STORAGE_POOL_REFRESH',
  84: 'STORAGE_POOL_LOOKUP_BY_NAME',
  85: 'STORAGE_POOL_LOOKUP_BY_UUID',
  86: 'STORAGE_POOL_LOOKUP_BY_VOLUME',
  87: 'STORAGE_POOL_GET_INFO',
  88: 'STORAGE_POOL_GET_XML_DESC',
  89: 'STORAGE_POOL_GET_AUTOSTART',
  90: 'STORAGE_POOL_SET_AUTOSTART',
  91: 'STORAGE_POOL_NUM_OF_VOLUMES',
  92: 'STORAGE_POOL_LIST_VOLUMES',
  93: 'STORAGE_VOL_CREATE_XML',
  94: 'STORAGE_VOL_DELETE',
  95: 'STORAGE_VOL_LOOKUP_BY_NAME',
  96: 'STORAGE_VOL_LOOKUP_BY_KEY',
  97: 'STORAGE_VOL_LOOKUP_BY_PATH',
  98: 'STORAGE_VOL_GET_INFO',
  99: 'STORAGE_VOL_GET_XML_DESC',
  100: 'STORAGE_VOL_GET_PATH',
  111: 'NODE_NUM_OF_DEVICES',
  112: 'NODE_LIST_DEVICES',
  113: 'NODE_DEVICE_LOOKUP_BY_NAME',
  114: 'NODE_DEVICE_GET_XML_DESC',
  115: 'NODE_DEVICE_GET_PARENT',
  116: 'NODE_DEVICE_NUM_OF_CAPS',
  117: 'NODE_DEVICE_LIST_CAPS',
  123: 'NODE_DEVICE_CREATE_XML',
  124: 'NODE_DEVICE_DESTROY',
  125: 'STORAGE_VOL_CREATE_XML_FROM',
  126: 'CONNECT_NUM_OF_INTERFACES',
  127: 'CONNECT_LIST_INTERFACES',
  128: 'INTERFACE_LOOKUP_BY_NAME',
  129: 'INTERFACE_LOOKUP_BY_MAC_STRING',
  130: 'INTERFACE_GET_XML_DESC',
  131: 'INTERFACE_DEFINE_XML',
  132: 'INTERFACE_UNDEFINE',
  133: 'INTERFACE_CREATE',
  134: 'INTERFACE_DESTROY',
  137: 'CONNECT_NUM_OF_DEFINED_INTERFACES',
  138: 'CONNECT_LIST_DEFINED_INTERFACES',
  139: 'CONNECT_NUM_OF_SECRETS',
  140: 'CONNECT_LIST_SECRETS',
  141: 'SECRET_LOOKUP_BY_UUID',
  142: 'SECRET_DEFINE_XML',
  143: 'SECRET_GET_XML_DESC',
  144: 'SECRET_SET_VALUE',
  145: 'SECRET_GET_VALUE',
  146: 'SECRET_UNDEFINE',
  147: 'SECRET_LOOKUP_BY_USAGE',
  152: 'NETWORK_IS_ACTIVE',
  153: 'NETWORK_IS_PERSISTENT',
  154: 'STORAGE_POOL_IS_ACTIVE',
  155: 'STORAGE_POOL_IS_PERSISTENT',
  156: 'INTERFACE_IS_ACTIVE',
  165: 'STORAGE_VOL_WIPE',
  175: 'NWFILTER_LOOKUP_BY_NAME',
  176: 'NWFILTER_LOOKUP_BY_UUID',
  177: 'NWFILTER_GET_XML_DESC',
  178: 'CONNECT_NUM_OF_NWFILTERS',
  179: 'CONNECT_LIST_NWFILTERS',
  180: 'NWFILTER_DEFINE_XML',
  181: 'NWFILTER_UNDEFINE',
  208: 'STORAGE_VOL_UPLOAD',
  209: 'STORAGE_VOL_DOWNLOAD',
  220: 'INTERFACE_CHANGE_BEGIN',
  221: 'INTERFACE_CHANGE_COMMIT',
  222: 'INTERFACE_CHANGE_ROLLBACK',
  259: 'STORAGE_VOL_WIPE_PATTERN',
  260: 'STORAGE_VOL_RESIZE',
  281: 'CONNECT_LIST_ALL_STORAGE_POOLS',
  282: 'STORAGE_POOL_LIST_ALL_VOLUMES',
  283: 'CONNECT_LIST_ALL_NETWORKS',
  284: 'CONNECT_LIST_ALL_INTERFACES',
  285: 'CONNECT_LIST_ALL_NODE_DEVICES',
  286: 'CONNECT_LIST_ALL_NWFILTERS',
  287: 'CONNECT_LIST_ALL_SECRETS',
  291: 'NETWORK_UPDATE',
  297: 'NODE_DEVICE_LOOKUP_SCSI_HOST_BY_WWN',
  313: 'CONNECT_NETWORK_EVENT_REGISTER_ANY',
  314: 'CONNECT_NETWORK_EVENT_DEREGISTER_ANY',
  341: 'NETWORK_GET_DHCP_LEASES',
  368: 'CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY',
  369: 'CONNECT_STORAGE_POOL_EVENT_DEREGISTER_ANY',
  374: 'CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY',
  375: 'CONNECT_NODE_DEVICE_EVENT_DEREGISTER_ANY',
  378: 'STORAGE_VOL_GET_INFO_FLAGS',
  380: 'CONNECT_SECRET_EVENT_REGISTER_ANY',
  381: 'CONNECT_SECRET_EVENT_DEREGISTER_ANY',
  391: 'STORAGE_POOL_LOOKUP_BY_TARGET_PATH',
  397: 'NWFILTER_BINDING_LOOKUP_BY_PORT_DEV',
  398: 'NWFILTER_BINDING_GET_XML_DESC',
  399: 'NWFILTER_BINDING_CREATE_XML',
  400: 'NWFILTER_BINDING_DELETE',
  401: 'CONNECT_LIST_ALL_NWFILTER_BINDINGS',
  403: 'CONNECT_GET_STORAGE_POOL_CAPABILITIES',
  404: 'NETWORK_LIST_ALL_PORTS',
  405: 'NETWORK_PORT_LOOKUP_BY_UUID',
  406: 'NETWORK_PORT_CREATE_XML',
  407: 'NETWORK_PORT_GET_PARAMETERS',
  408: 'NETWORK_PORT_SET_PARAMETERS',
  409: 'NETWORK_PORT_GET_XML_DESC',
  410: 'NETWORK_PORT_DELETE',
  428: 'NODE_DEVICE_DEFINE_XML',
  429: 'NODE_DEVICE_UNDEFINE',
  430: 'NODE_DEVICE_CREATE',
  431: 'NWFILTER_DEFINE_XML_FLAGS',
  432: 'NETWORK_DEFINE_XML_FLAGS',
  433: 'NODE_DEVICE_GET_AUTOSTART',
  434: 'NODE_DEVICE_SET_AUTOSTART',
  435: 'NODE_DEVICE_IS_PERSISTENT',
  436: 'NODE_DEVICE_IS_ACTIVE',
  437: 'NETWORK_CREATE_XML_FLAGS',
  444: 'NETWORK_SET_METADATA',
  445: 'NETWORK_GET_METADATA',
  447: 'NODE_DEVICE_UPDATE'
}

/** libvirt's drivers beside QEMU's; of each the daemon is called virt…d. */
export const SECONDARY_DRIVERS = ['network', 'storage', 'secret', 'nodedev', 'nwfilter', 'interface'] as const
export type SecondaryDriver = (typeof SECONDARY_DRIVERS)[number]

/** Patterns that find a procedure's driver by its name, the first that fits counts. */
const DRIVER_OF: [pattern: RegExp, driver: SecondaryDriver][] = [
  [/NWFILTER/, 'nwfilter'],
  [/NETWORK/, 'network'],
  [/STORAGE/, 'storage'],
  [/SECRET/, 'secret'],
  [/INTERFACE/, 'interface'],
  [/NODE_/, 'nodedev']
]

/** The driver of a procedure, undefined for another number. */
export function secondaryDriver(procedure: number): SecondaryDriver | undefined {
  const name = SECONDARY_CALLS[procedure]
  return name === undefined ? undefined : DRIVER_OF.find(([pattern]) => pattern.test(name))![1]
}

/** Procedures that open a stream. */
export const SECONDARY_STREAMS: ReadonlySet<number> = new Set([208, 209])

/**
 * The answer to a count or a list where there is nothing of the kind, in words of zero: programs that look around go
 * on. Undefined for other procedures.
 */
function emptyAnswer(procedure: number): number | undefined {
  const name = SECONDARY_CALLS[procedure] ?? ''
  if (/^CONNECT_LIST_ALL_/.test(name)) return 2 // an array, and its length as the result
  return /^(CONNECT|NODE)_(NUM_OF|LIST)_/.test(name) ? 1 : undefined
}

/** The domain of the errors of each driver's public functions. */
const DOMAINS: Record<SecondaryDriver, ErrorDomain> = {
  network: 'VIR_FROM_NETWORK',
  storage: 'VIR_FROM_STORAGE',
  secret: 'VIR_FROM_SECRET',
  nodedev: 'VIR_FROM_NODEDEV',
  nwfilter: 'VIR_FROM_NWFILTER',
  interface: 'VIR_FROM_INTERFACE'
}

/**
 * The reply to a call of a driver that is not there: there is nothing of the kind.
 * @throws VIR_ERR_NO_SUPPORT for more than counts and lists, VIR_ERR_RPC for a number that means nothing
 */
export function withoutDriver({ program, procedure }: Frame): Reply {
  const driver = program === REMOTE_PROGRAM ? secondaryDriver(procedure) : undefined
  if (!driver) throw fail('VIR_ERR_RPC', `unknown procedure: ${procedure}`)
  const words = emptyAnswer(procedure)
  if (words === undefined) {
    throw errorsFrom(DOMAINS[driver])('VIR_ERR_NO_SUPPORT', functionName(SECONDARY_CALLS[procedure]!))
  }
  return { write: to => to.fixed(Buffer.alloc(4 * words)) }
}
