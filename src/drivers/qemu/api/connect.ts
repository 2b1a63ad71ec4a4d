// The connection itself: type, versions, names, what the host is.
import { accessSync, constants } from 'node:fs'
import { hostname } from 'node:os'
import { systemError } from '../../../conf/errno.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { defaulted, flags, int, optional, text, uhyper } from '../../../conf/wire.ts'
import { hostFile } from '../../../host/root.ts'
import type { Connect } from '../../connection.ts'
import { methodFor } from '../../method.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<Connect>()

/** The libvirt whose answers these are: 11.3.0. Clients decide by it which elements they write. */
export const LIBVIRT_VERSION = 11_003_000

const KVM = '/dev/kvm'

/** Most vCPUs of a guest by its virt type; of KVM what the kernel has (qemuConnectGetMaxVcpus). */
const MAX_VCPUS: Record<string, number> = { qemu: 16, kvm: 1024 }

/** Asks for the host's KVM (virHostCPUGetKVMMaxVCPUs). @throws VIR_ERR_SYSTEM_ERROR */
function checkKvm(): void {
  try {
    accessSync(hostFile(KVM), constants.R_OK)
  } catch (error) {
    throw systemError('VIR_FROM_NONE', `Unable to open ${KVM}`, error)
  }
}

const plain = { since: '0.0.1', on: 'connect', acl: 'connect:getattr', args: {} } as const

export const connect = {
  virConnectGetType: method({ ...plain, ret: { type: text() }, run: () => ({ type: 'QEMU' }) }),

  virConnectGetLibVersion: method({
    ...plain,
    since: '0.7.3',
    ret: { libVer: uhyper('major * 1000000 + minor * 1000 + release') },
    run: () => ({ libVer: BigInt(LIBVIRT_VERSION) })
  }),

  /** Version of the QEMU that runs this connection's guests. */
  virConnectGetVersion: method({
    ...plain,
    ret: { hvVer: uhyper('major * 1000000 + minor * 1000 + release') },
    run: async connect => ({ hvVer: BigInt((await connect.qemu()).version) })
  }),

  virConnectGetHostname: method({
    ...plain,
    since: '0.3.0',
    ret: { hostname: text() },
    run: () => ({ hostname: hostname() })
  }),

  virConnectGetURI: method({ ...plain, since: '0.3.0', ret: { uri: text() }, run: ({ uri }) => ({ uri }) }),

  virConnectGetMaxVcpus: method({
    ...plain,
    since: '0.2.1',
    acl: 'connect:read',
    args: { type: defaulted(optional(text('virt type')), 'qemu') },
    ret: { maxVcpus: int() },
    run(_host, { type = 'qemu' }) {
      const max = MAX_VCPUS[type.toLowerCase()]
      if (max === undefined) throw fail('VIR_ERR_INVALID_ARG', `unknown type '${type}'`)
      if (type.toLowerCase() === 'kvm') checkKvm()
      return { maxVcpus: max }
    }
  }),

  /** Always 1: the connection is a local socket. */
  virConnectIsSecure: method({ ...plain, since: '0.7.3', ret: { secure: int() }, run: () => ({ secure: 1 }) }),

  virConnectIsEncrypted: method({ ...plain, since: '0.7.3', ret: { encrypted: int() }, run: () => ({ encrypted: 0 }) }),

  virConnectIsAlive: method({ ...plain, since: '0.9.8', ret: { alive: int() }, run: () => ({ alive: 1 }) }),

  /** The security driver; guests are confined by user, sandbox and no_new_privs, not by labels. */
  virNodeGetSecurityModel: method({
    ...plain,
    since: '0.6.1',
    acl: 'connect:read',
    ret: { model: text(), doi: text() },
    run: () => ({ model: 'none', doi: '0' })
  }),

  /** The host's SMBIOS blocks; only the system's guests may see them. */
  virConnectGetSysinfo: method({
    ...plain,
    since: '0.8.8',
    acl: 'connect:read',
    args: { flags: flags() },
    ret: { sysinfo: text() },
    async run({ privileged }) {
      const sysinfo = privileged ? await (await import('../../../host/sysinfo.ts')).hostSysinfo() : undefined
      if (sysinfo === undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Host SMBIOS information is not available')
      return { sysinfo }
    }
  })
}
