// The inside of the guest, by its agent: file systems, CPUs, passwords, keys.
import { parseBitmap } from '../../../conf/bitmap.ts'
import { virDomainAuthorizedSSHKeysSetFlags, virDomainSetUserPasswordFlags } from '../../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import {
  array,
  defaulted,
  flags,
  int,
  optional,
  struct,
  text,
  typed,
  typedParams,
  uhyper,
  type WireValue
} from '../../../conf/wire.ts'
import { methodFor, noFlags } from '../../method.ts'
import { malformed, objectOf, textsOf } from '../agent/answer.ts'
import { availableAgent } from '../agent/channel.ts'
import { diskAt, filesystemsIn, freezeFilesystems, thawFilesystems } from '../agent/filesystems.ts'
import { GUEST_VCPU_MAX_ID, guestVcpus, setGuestVcpus, vcpuSet, vcpusOf } from '../agent/vcpus.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const badArgument = argumentErrorsFrom('VIR_FROM_QEMU')
const failArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')
const method = methodFor<QemuDomain>()

const { VIR_DOMAIN_PASSWORD_ENCRYPTED } = virDomainSetUserPasswordFlags
const { VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND: APPEND, VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE: REMOVE } =
  virDomainAuthorizedSSHKeysSetFlags

/** REMOTE_DOMAIN_FSFREEZE_MOUNTPOINTS_MAX, REMOTE_DOMAIN_FSINFO_MAX and REMOTE_DOMAIN_FSINFO_DISKS_MAX. */
const FILESYSTEMS_MAX = 256
/** REMOTE_DOMAIN_AUTHORIZED_SSH_KEYS_MAX */
const KEYS_MAX = 2048

const mountpoints = defaulted(array(text(), FILESYSTEMS_MAX), [])
const keyList = array(text(), KEYS_MAX)

const fsInfo = struct({
  mountpoint: text(),
  name: text(),
  fstype: text(),
  devAliases: array(text("targets of the guest's disks it lies on"), FILESYSTEMS_MAX)
})

export const guest = {
  /** Flushes and holds the guest's file systems until they are thawed: all, or those mounted there. */
  virDomainFSFreeze: method({
    since: '1.2.5',
    on: 'domain',
    acl: 'domain:fs_freeze',
    job: { agent: 'modify' },
    needs: 'active',
    args: { mountpoints, flags: flags() },
    ret: { filesystems: int('how many') },
    run: async (domain, args) => ({ filesystems: await freezeFilesystems(domain, args.mountpoints) })
  }),

  /** Lets all of the guest's file systems go on. */
  virDomainFSThaw: method({
    since: '1.2.5',
    on: 'domain',
    acl: 'domain:fs_freeze',
    job: { agent: 'modify' },
    needs: 'active',
    args: { mountpoints, flags: flags() },
    ret: { filesystems: int('how many') },
    check(args) {
      if (args.mountpoints.length === 0) return
      throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', 'specifying mountpoints is not supported')
    },
    run: async domain => ({ filesystems: await thawFilesystems(domain) })
  }),

  /** Gives the free space of the guest's file systems back to the host. */
  virDomainFSTrim: method({
    since: '1.0.1',
    on: 'domain',
    acl: 'domain:fs_trim',
    job: { agent: 'modify' },
    args: {
      mountPoint: optional(text()),
      minimum: defaulted(uhyper('bytes; shorter free ranges are not looked at'), 0n),
      flags: flags()
    },
    ret: {},
    check({ mountPoint }) {
      if (mountPoint === undefined) return
      throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', 'Specifying mount point is not supported for now')
    },
    async run(domain, { minimum }) {
      await availableAgent(domain).execute('guest-fstrim', { minimum })
      return {}
    }
  }),

  /** The guest's mounted file systems. Source: qemuDomainGetFSInfo. */
  virDomainGetFSInfo: method({
    since: '1.2.11',
    on: 'domain',
    acl: 'domain:fs_freeze',
    job: { agent: 'query' },
    needs: 'active',
    args: noFlags,
    ret: { info: array(fsInfo, FILESYSTEMS_MAX) },
    async run(domain) {
      const found = filesystemsIn(await availableAgent(domain).execute('guest-get-fsinfo'))
      domain.checkActive()
      const info: WireValue<typeof fsInfo>[] = found.map(({ mountpoint, name, type, disks }) => ({
        mountpoint,
        name,
        fstype: type,
        devAliases: disks.flatMap(address => diskAt(domain.def, address)?.target?.dev ?? [])
      }))
      return { info }
    }
  }),

  /** The guest's CPUs as sets: those it has, those at work, those it can do without. */
  virDomainGetGuestVcpus: method({
    since: '2.0.0',
    on: 'domain',
    acl: 'domain:write',
    job: { agent: 'query' },
    args: noFlags,
    ret: { params: typedParams },
    async run(domain) {
      const vcpus = await guestVcpus(availableAgent(domain))
      return {
        params: {
          vcpus: typed.string(vcpuSet(vcpus)),
          online: typed.string(vcpuSet(vcpus, ({ online }) => online)),
          offlinable: typed.string(vcpuSet(vcpus, ({ offlinable }) => offlinable))
        }
      }
    }
  }),

  /** Has the guest use these CPUs, or do without them. Source: qemuDomainSetGuestVcpus. */
  virDomainSetGuestVcpus: method({
    since: '2.0.0',
    on: 'domain',
    acl: 'domain:write',
    job: { agent: 'modify' },
    args: { cpumap: text('a set, as 0-3,^2'), state: int('1 online, 0 offline'), flags: flags() },
    ret: {},
    check({ cpumap, state }) {
      if (state !== 0 && state !== 1) throw badArgument('unsupported state value')
      parseBitmap(cpumap, GUEST_VCPU_MAX_ID)
    },
    async run(domain, { cpumap, state }) {
      const vcpus = await guestVcpus(availableAgent(domain))
      const changed = vcpusOf(parseBitmap(cpumap, GUEST_VCPU_MAX_ID), vcpus, state === 1)
      await setGuestVcpus(availableAgent(domain), changed)
      return {}
    }
  }),

  /** Sets the password of a user in the guest; VIR_DOMAIN_PASSWORD_ENCRYPTED for one that is hashed already. */
  virDomainSetUserPassword: method({
    since: '1.2.16',
    on: 'domain',
    acl: 'domain:set_password',
    job: { agent: 'modify' },
    needs: 'active',
    args: { user: text(), password: text(), flags: flags(virDomainSetUserPasswordFlags) },
    ret: {},
    async run(domain, { user, password, flags: bits }) {
      await availableAgent(domain).execute('guest-set-user-password', {
        crypted: (bits & VIR_DOMAIN_PASSWORD_ENCRYPTED) !== 0,
        username: user,
        password: Buffer.from(password).toString('base64')
      })
      return {}
    }
  }),

  /** Public keys that let somebody in as a user of the guest. */
  virDomainAuthorizedSSHKeysGet: method({
    since: '6.10.0',
    on: 'domain',
    acl: 'domain:write',
    job: { agent: 'query' },
    args: { user: text(), flags: flags() },
    ret: { keys: keyList },
    async run(domain, { user }) {
      const noKeys = "qemu agent didn't return an array of keys"
      const answer = await availableAgent(domain).execute('guest-ssh-get-authorized-keys', { username: user })
      const { keys } = objectOf(answer, noKeys)
      if (!Array.isArray(keys)) throw malformed(noKeys)
      return { keys: textsOf(keys) }
    }
  }),

  /** Sets those keys, adds some to them, or takes some out. Source: qemuDomainAuthorizedSSHKeysSet. */
  virDomainAuthorizedSSHKeysSet: method({
    since: '6.10.0',
    on: 'domain',
    acl: 'domain:write',
    job: { agent: 'query' },
    args: { user: text(), keys: defaulted(keyList, []), flags: flags(virDomainAuthorizedSSHKeysSetFlags) },
    ret: {},
    check({ keys, flags: bits }) {
      if ((bits & (APPEND | REMOVE)) !== 0 && keys.length === 0) {
        throw failArgument('keys in virDomainAuthorizedSSHKeysSet must not be NULL')
      }
      if ((bits & APPEND) !== 0 && (bits & REMOVE) !== 0) {
        const [append, remove] = Object.keys(virDomainAuthorizedSSHKeysSetFlags)
        throw failArgument(`Flags '${append}' and '${remove}' are mutually exclusive`)
      }
    },
    async run(domain, { user, keys, flags: bits }) {
      const agent = availableAgent(domain)
      if ((bits & REMOVE) !== 0) await agent.execute('guest-ssh-remove-authorized-keys', { username: user, keys })
      else await agent.execute('guest-ssh-add-authorized-keys', { username: user, keys, reset: (bits & APPEND) === 0 })
      return {}
    }
  })
}
