// Procedures whose wire form is not simply their API's row, by procedure name.
import { errorsFrom } from '../../conf/error.ts'
import type { TypedParams } from '../../conf/wire.ts'
import type { GuestHandle } from '../../drivers/connection.ts'
import type { RetValues } from '../../drivers/qemu/index.ts'
import { hostCpus } from '../../host/topology.ts'
import type { Values } from './codec.ts'
import type { Connection } from './connection.ts'
import { eventExceptions } from './event-calls.ts'
import type { ArgsIn, NotationOf, ProcedureName, RetIn } from './notation.ts'

const fail = errorsFrom('VIR_FROM_REMOTE')

/** Of a procedure with these arguments and results. */
export interface Exception<Args = Values, Ret = Values> {
  /** may come before CONNECT_OPEN, and is nobody's but the connection's */
  beforeOpen?: true
  /** the whole call, for what is no API of a guest or host */
  run?(connection: Connection, given: Args): Ret | Promise<Ret>
  /** clients send what they have room for uninitialised */
  anyRoom?: true
  /** arguments of the API that are not the wire's of the same name */
  args?(given: Args): Values
  /** results on the wire from the API's, `guest` is the one it was called on */
  ret?(result: Values, given: Args, guest: GuestHandle | undefined): Ret
  /** `ret` has cut the result to the caller's room */
  isFitted?: true
}

/** By procedure name; arguments and results are those of its notation. */
export type Exceptions = { [N in ProcedureName]?: Exception<ArgsIn<NotationOf<N>>, RetIn<NotationOf<N>>> }

/** VIR_NODE_CPU_STATS_ALL_CPUS */
const ALL_CPUS = -1
const AUTH_NONE = 0
const CONNECT_RO = 1
const CONNECT_FLAGS = 7

/** virDrvFeature: what a client may rely on. */
const FEATURES: Record<number, boolean> = {
  3: true, // MIGRATION_V2
  4: true, // MIGRATION_P2P
  6: true, // MIGRATION_V3
  7: true, // MIGRATE_CHANGE_PROTECTION
  8: true, // FD_PASSING
  9: true, // TYPED_PARAM_STRING
  11: true, // XML_MIGRATABLE
  12: true, // MIGRATION_OFFLINE
  13: true, // MIGRATION_PARAMS
  14: true, // REMOTE_EVENT_CALLBACK
  15: true, // REMOTE_CLOSE_CALLBACK
  16: true // NETWORK_UPDATE_HAS_CORRECT_ORDER
}
const KEEPALIVE_FEATURE = 10

const refuseSasl: Exception<Values, never> = {
  beforeOpen: true,
  run() {
    throw fail('VIR_ERR_AUTH_FAILED', 'authentication failed')
  }
}
const nothing: Exception = { run: () => ({}) }

/** REMOTE_VCPUINFO_MAX and REMOTE_CPUMAPS_MAX of remote_protocol.x */
const VCPUINFO_MAX = 16384
const CPUMAPS_MAX = 8388608

/** @throws VIR_ERR_INTERNAL_ERROR for more room than a reply can have (remoteDispatchDomainGetVcpus) */
function checkMaps({ maxinfo, maplen }: { maxinfo: number; maplen: number }): Values {
  if (maxinfo > VCPUINFO_MAX) throw fail('VIR_ERR_INTERNAL_ERROR', 'maxinfo > REMOTE_VCPUINFO_MAX')
  if (maxinfo * maplen > CPUMAPS_MAX) throw fail('VIR_ERR_INTERNAL_ERROR', 'maxinfo * maplen > REMOTE_CPUMAPS_MAX')
  return {}
}

/** VIR_TYPED_PARAM_STRING_OKAY, which libvirt's own clients give with every call for typed parameters */
const STRING_OKAY = 4
const LIVE_AND_CONFIG = 3

/** CPUs of libvirt's map, one entry each. */
const cpusOf = (bits: Uint8Array): boolean[] =>
  Array.from({ length: bits.length * 8 }, (_, cpu) => ((bits[cpu >> 3]! >> (cpu & 7)) & 1) === 1)

/** libvirt's CPU map: a bit per CPU, lowest first. */
function cpuBits(cpus: readonly (number | boolean)[], length: number): Buffer {
  const bits = Buffer.alloc(length)
  cpus.forEach((on, cpu) => {
    if (on && cpu < length * 8) bits[cpu >> 3]! |= 1 << (cpu & 7)
  })
  return bits
}

const typedExceptions: Exceptions = {
  ...eventExceptions,
  AUTH_LIST: { beforeOpen: true, run: () => ({ types: [AUTH_NONE] }) },
  AUTH_POLKIT: refuseSasl,
  AUTH_SASL_INIT: refuseSasl,
  AUTH_SASL_START: refuseSasl,
  AUTH_SASL_STEP: refuseSasl,

  CONNECT_OPEN: {
    beforeOpen: true,
    run(connection, { name, flags }) {
      if (connection.opened) throw fail('VIR_ERR_INTERNAL_ERROR', 'connection already open')
      if ((flags & ~CONNECT_FLAGS) !== 0)
        throw fail('VIR_ERR_INVALID_ARG', `unsupported flags (0x${flags.toString(16)})`)
      if (name && !/^qemu:\/\/\//.test(name)) throw fail('VIR_ERR_NO_CONNECT', name)
      if ((flags & CONNECT_RO) !== 0) connection.readOnly = true
      connection.opened = true
      return {}
    }
  },
  CONNECT_CLOSE: {
    beforeOpen: true,
    run(connection) {
      setImmediate(() => connection.client.close())
      return {}
    }
  },
  CONNECT_SUPPORTS_FEATURE: {
    beforeOpen: true,
    run(connection, { feature }) {
      if (feature === KEEPALIVE_FEATURE) connection.client.startKeepalive()
      return { supported: feature === KEEPALIVE_FEATURE || FEATURES[feature] ? 1 : 0 }
    }
  },
  CONNECT_REGISTER_CLOSE_CALLBACK: nothing,
  CONNECT_UNREGISTER_CLOSE_CALLBACK: nothing,
  /** takes any identity: whoever can open the socket may do everything */
  CONNECT_SET_IDENTITY: nothing,

  /** the connection is a local socket */
  CONNECT_IS_SECURE: { ret: () => ({ secure: 1 }) },
  DOMAIN_CREATE_WITH_FLAGS: { ret: (_result, _given, guest) => ({ dom: guest! }) },
  DOMAIN_AGENT_SET_RESPONSE_TIMEOUT: { ret: () => ({ result: 0 }) },
  DOMAIN_RENAME: { ret: () => ({ retcode: 0 }) },
  DOMAIN_GET_VCPUS: {
    args: checkMaps,
    ret({ info, cpumaps }: RetValues<'virDomainGetVcpus'>, { maxinfo, maplen }) {
      const maps = cpumaps.slice(0, maxinfo).map(cpus => cpuBits(cpus, maplen))
      return { info: info.slice(0, maxinfo), cpumaps: Buffer.concat(maps) }
    }
  },
  DOMAIN_SET_VCPU: { args: ({ cpumap }) => ({ vcpumap: cpumap }) },
  DOMAIN_MEMORY_PEEK: { args: ({ offset }) => ({ start: offset }) },
  DOMAIN_GET_IOTHREAD_INFO: {
    ret({ info }: RetValues<'virDomainGetIOThreadInfo'>) {
      const mapped = info.map(({ cpumap, ...one }) => ({
        ...one,
        cpumap: cpuBits(cpumap, Math.ceil(cpumap.length / 8))
      }))
      return { info: mapped, ret: info.length }
    }
  },
  DOMAIN_PIN_VCPU: { args: ({ cpumap }) => ({ cpumap: cpusOf(cpumap) }) },
  DOMAIN_PIN_VCPU_FLAGS: { args: ({ cpumap }) => ({ cpumap: cpusOf(cpumap) }) },
  DOMAIN_PIN_EMULATOR: { args: ({ cpumap }) => ({ cpumap: cpusOf(cpumap) }) },
  DOMAIN_PIN_IOTHREAD: {
    args: ({ iothreads_id, cpumap }) => ({ iothread_id: iothreads_id, cpumap: cpusOf(cpumap) })
  },
  DOMAIN_GET_VCPU_PIN_INFO: {
    args: ({ ncpumaps, maplen }) => checkMaps({ maxinfo: ncpumaps, maplen }),
    ret({ cpumaps }: RetValues<'virDomainGetVcpuPinInfo'>, { ncpumaps, maplen }) {
      const maps = cpumaps.slice(0, ncpumaps).map(cpus => cpuBits(cpus, maplen))
      return { cpumaps: Buffer.concat(maps), num: maps.length }
    }
  },
  DOMAIN_GET_EMULATOR_PIN_INFO: {
    args: ({ maplen }) => checkMaps({ maxinfo: 1, maplen }),
    ret: ({ cpumap }: RetValues<'virDomainGetEmulatorPinInfo'>, { maplen }) => ({
      cpumaps: cpuBits(cpumap, maplen),
      ret: 1
    })
  },
  // callers that only ask for the count are told it before anyone looks at the guest
  DOMAIN_GET_BLKIO_PARAMETERS: {
    args: ({ flags, nparams }) => ({ flags: flags & ~(STRING_OKAY | (nparams === 0 ? LIVE_AND_CONFIG : 0)) })
  },
  DOMAIN_GET_PERF_EVENTS: { args: ({ flags }) => ({ flags: flags & ~STRING_OKAY }) },
  NODE_GET_SEV_INFO: { anyRoom: true },
  // callers that only ask for the count are told it before anyone looks at the CPU
  /** who asks how many there are need not name one that is there, but it has to be a name */
  DOMAIN_GET_INTERFACE_PARAMETERS: {
    args: ({ device, nparams }) => ({ device: nparams === 0 && !device.includes('\0') ? null : device })
  },
  NODE_GET_CPU_STATS: { args: ({ cpuNum, nparams }) => ({ cpuNum: nparams === 0 ? ALL_CPUS : cpuNum }) },
  NODE_GET_CPU_MAP: {
    ret: ({ cpumap, online }: RetValues<'virNodeGetCPUMap'>, { need_map, need_online }) => ({
      cpumap: need_map ? cpuBits(cpumap, Math.ceil(cpumap.length / 8)) : Buffer.alloc(0),
      online: need_online ? online : 0,
      ret: cpumap.length
    })
  },
  DOMAIN_GET_CPU_STATS: {
    isFitted: true,
    // one list after the other; none of them has more entries than the caller has room for
    ret({ params }: RetValues<'virDomainGetCPUStats'>, { nparams, ncpus }) {
      const count = Object.keys(params[0] ?? {}).length
      if (ncpus === 0) return { params: {}, nparams: hostCpus().present }
      if (nparams === 0) return { params: {}, nparams: count }
      const cut = (one: TypedParams) => Object.fromEntries(Object.entries(one).slice(0, nparams))
      return { params: params.map(cut), nparams: Math.min(count, nparams) }
    }
  }
}

/** Peculiarities of procedures, by name. */
export const exceptions: Readonly<Record<string, Exception | undefined>> = typedExceptions
