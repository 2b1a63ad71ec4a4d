// Commands on the inside of a guest: what its agent tells and does, and what its memory is guarded by.
import {
  virDomainAgentResponseTimeoutValues,
  virDomainAuthorizedSSHKeysSetFlags,
  virDomainGuestInfoTypes,
  virDomainSetUserPasswordFlags
} from '../../conf/enums.ts'
import { type Commands, type DomainCall, onDomain, option } from '../command.ts'
import { ClientError, saying } from '../failure.ts'
import { readOrFail } from '../input.ts'
import { formatTable } from '../table.ts'

const { VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK } = virDomainAgentResponseTimeoutValues
const { VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND, VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE } =
  virDomainAuthorizedSSHKeysSetFlags

/** Kinds of facts by their options. */
const INFO_TYPES = {
  user: [virDomainGuestInfoTypes.VIR_DOMAIN_GUEST_INFO_USERS, 'report active users'],
  os: [virDomainGuestInfoTypes.VIR_DOMAIN_GUEST_INFO_OS, 'report operating system information'],
  timezone: [virDomainGuestInfoTypes.VIR_DOMAIN_GUEST_INFO_TIMEZONE, 'report timezone information'],
  hostname: [virDomainGuestInfoTypes.VIR_DOMAIN_GUEST_INFO_HOSTNAME, 'report hostname'],
  filesystem: [virDomainGuestInfoTypes.VIR_DOMAIN_GUEST_INFO_FILESYSTEM, 'report filesystem information'],
  disk: [virDomainGuestInfoTypes.VIR_DOMAIN_GUEST_INFO_DISKS, 'report disk information'],
  interface: [virDomainGuestInfoTypes.VIR_DOMAIN_GUEST_INFO_INTERFACES, 'report interface information'],
  load: [virDomainGuestInfoTypes.VIR_DOMAIN_GUEST_INFO_LOAD, 'report load averages information']
} as const

/** Prints typed parameters, one a line. Load averages are the only ones with a fraction, which JSON may leave out. */
function printParams({ session }: Pick<DomainCall, 'session'>, params: object, width: number): void {
  for (const [name, value] of Object.entries(params)) {
    const shown = typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value)
    session.print(`${name.padEnd(width)}: ${name.startsWith('load.') ? Number(value).toFixed(6) : shown}\n`)
  }
}

async function domfsinfo({ shim, session }: DomainCall): Promise<void> {
  const { info } = await saying('Unable to get filesystem information', shim.call('virDomainGetFSInfo'))
  if (info.length === 0) return session.printExtra('No filesystems are mounted in the domain')
  const rows = info.map(({ mountpoint, name, fstype, devAliases }) => [mountpoint, name, fstype, devAliases.join(',')])
  session.print(formatTable(['Mountpoint', 'Name', 'Type', 'Target'], rows, session.options.quiet))
}

async function guestvcpus(call: DomainCall): Promise<void> {
  const { shim, given } = call
  given.exclusive(['enable', 'disable'])
  given.requiring(['enable', 'cpulist'], ['disable', 'cpulist'])
  const cpumap = given.text('cpulist')
  if (cpumap === undefined) return printParams(call, (await shim.call('virDomainGetGuestVcpus')).params, 15)
  if (!given.has('enable') && !given.has('disable')) {
    throw new ClientError('One of options --enable or --disable is required by option --cpulist')
  }
  await shim.call('virDomainSetGuestVcpus', { cpumap, state: given.has('enable') ? 1 : 0 })
}

async function setUserSshKeys({ shim, given }: DomainCall): Promise<void> {
  given.requiring(['remove', 'file'])
  given.exclusive(['reset', 'remove'])
  const file = given.text('file')
  if (file === undefined && !given.has('reset')) throw new ClientError('Option --file is required')
  const text = file === undefined ? '' : String(await readOrFail(file))
  const keys = text === '' ? [] : text.split('\n')
  if (file !== undefined && keys.length === 0) throw new ClientError(`File ${file} contains no keys`)
  const added = given.has('reset') ? 0 : VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND
  const flags = given.has('remove') ? VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE : added
  await shim.call('virDomainAuthorizedSSHKeysSet', { user: given.text('user')!, keys, flags })
}

async function setLaunchState({ shim, given }: DomainCall): Promise<void> {
  const [header, secret] = ['secrethdr', 'secret'].map(name => given.text(name))
  if (header === undefined || secret === undefined) {
    throw new ClientError('Both secret and the secret header are required')
  }
  const address = given.ulonglong('set-address')
  const params = {
    'sev-secret-header': String(await readOrFail(header)),
    'sev-secret': String(await readOrFail(secret)),
    ...(address !== undefined && { 'sev-secret-set-address': address })
  }
  await saying('Unable to set launch security state', shim.call('virDomainSetLaunchSecurityState', { params }))
}

export const guest: Commands = {
  domfsfreeze: onDomain(
    "Freeze domain's mounted filesystems.",
    { mountpoint: option.argv('mountpoint path to be frozen') },
    async ({ shim, given, session }) => {
      const call = shim.call('virDomainFSFreeze', { mountpoints: given.all('mountpoint') })
      const { filesystems } = await saying('Unable to freeze filesystems', call)
      session.printExtra(`Froze ${filesystems} filesystem(s)\n`)
    }
  ),

  domfsinfo: onDomain("Get information of domain's mounted filesystems.", {}, domfsinfo),

  domfsthaw: onDomain(
    "Thaw domain's mounted filesystems.",
    { mountpoint: option.argv('mountpoint path to be thawed') },
    async ({ shim, given, session }) => {
      const call = shim.call('virDomainFSThaw', { mountpoints: given.all('mountpoint') })
      const { filesystems } = await saying('Unable to thaw filesystems', call)
      session.printExtra(`Thawed ${filesystems} filesystem(s)\n`)
    }
  ),

  domfstrim: onDomain(
    "Invoke fstrim on domain's mounted filesystems.",
    {
      minimum: option.int('Just a hint to ignore contiguous free ranges smaller than this (Bytes)', { named: true }),
      mountpoint: option.text('which mount point to trim', { named: true })
    },
    async ({ shim, given }) => {
      const call = shim.call('virDomainFSTrim', {
        minimum: given.ulonglong('minimum') ?? 0n,
        mountPoint: given.text('mountpoint')
      })
      await saying('Unable to invoke fstrim', call)
    }
  ),

  domlaunchsecinfo: onDomain('Get domain launch security info', {}, async call => {
    const info = call.shim.call('virDomainGetLaunchSecurityInfo')
    printParams(call, (await saying('Unable to get launch security parameters', info)).params, 15)
  }),

  domsetlaunchsecstate: onDomain(
    'Set domain launch security state',
    {
      secrethdr: option.text('path to file containing the secret header', { named: true }),
      secret: option.text('path to file containing the secret', { named: true }),
      'set-address': option.int("physical address within the guest domain's memory to set the secret", { named: true })
    },
    setLaunchState
  ),

  'get-user-sshkeys': onDomain(
    'list authorized SSH keys for given user (via agent)',
    { user: option.text('user to list authorized keys for', { required: true }) },
    async ({ shim, given, session }) => {
      const { keys } = await shim.call('virDomainAuthorizedSSHKeysGet', { user: given.text('user')! })
      for (const key of keys) session.print(key)
    }
  ),

  'guest-agent-timeout': onDomain(
    'Set the guest agent timeout',
    { timeout: option.int('timeout seconds.', { named: true }) },
    async ({ shim, given }) => {
      const timeout = given.int('timeout') ?? VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK
      await shim.call('virDomainAgentSetResponseTimeout', { timeout })
    }
  ),

  guestinfo: onDomain(
    'query information about the guest (via agent)',
    Object.fromEntries(Object.entries(INFO_TYPES).map(([name, [, help]]) => [name, option.bool(help)])),
    async call => {
      const asked = Object.entries(INFO_TYPES).filter(([name]) => call.given.has(name))
      const types = asked.reduce((bits, [, [bit]]) => bits | bit, 0)
      printParams(call, (await call.shim.call('virDomainGetGuestInfo', { types })).params, 20)
    }
  ),

  guestvcpus: onDomain(
    'query or modify state of vcpu in the guest (via agent)',
    {
      cpulist: option.text('list of cpus to enable or disable', { named: true }),
      enable: option.bool('enable cpus specified by cpulist'),
      disable: option.bool('disable cpus specified by cpulist')
    },
    guestvcpus
  ),

  'set-user-password': onDomain(
    'set the user password inside the domain',
    {
      user: option.text('the username', { required: true }),
      password: option.text('the new password', { required: true }),
      encrypted: option.bool('the password is already encrypted')
    },
    async ({ shim, given, wanted, session }) => {
      const user = given.text('user')!
      const flags = given.has('encrypted') ? virDomainSetUserPasswordFlags.VIR_DOMAIN_PASSWORD_ENCRYPTED : 0
      await shim.call('virDomainSetUserPassword', { user, password: given.text('password')!, flags })
      session.printExtra(`Password set successfully for ${user} in ${wanted}`)
    }
  ),

  'set-user-sshkeys': onDomain(
    'manipulate authorized SSH keys file for given user (via agent)',
    {
      user: option.text('user to set authorized keys for', { required: true }),
      file: option.text('optional file to read keys from'),
      reset: option.bool('clear out authorized keys file before adding new keys'),
      remove: option.bool('remove keys from the authorized keys file')
    },
    setUserSshKeys
  )
}
