// Commands that change how many vCPUs and IOThreads a guest has, and how much memory.
import type { ArgsOf } from '../../drivers/qemu/index.ts'
import { type Given, scaledInteger } from '../arguments.ts'
import { type Commands, type DomainCall, impact, impactFlags, onDomain, option } from '../command.ts'
import { ClientError, saying } from '../failure.ts'

const AFFECT_LIVE = 1
const VCPU_MAXIMUM = 4
const VCPU_GUEST = 8
const VCPU_HOTPLUGGABLE = 16
const MEM_MAXIMUM = 4
const UINT_MAX = 2 ** 32 - 1
const KIB = 1024n

async function setvcpus({ shim, given }: DomainCall): Promise<void> {
  const affected = impactFlags(given)
  given.exclusive(['guest', 'config'])
  given.requiring(['maximum', 'config'])
  const flags =
    affected |
    (given.has('guest') ? VCPU_GUEST : 0) |
    (given.has('maximum') ? VCPU_MAXIMUM : 0) |
    (given.has('hotpluggable') ? VCPU_HOTPLUGGABLE : 0)
  const nvcpus = given.int('count', { min: 0, max: UINT_MAX })!
  if (nvcpus === 0) throw new ClientError("Can't set 0 processors for a VM")
  await (flags === 0 && !given.has('current')
    ? shim.call('virDomainSetVcpus', { nvcpus })
    : shim.call('virDomainSetVcpusFlags', { nvcpus, flags }))
}

async function setvcpu({ shim, given }: DomainCall): Promise<void> {
  given.exclusive(['enable', 'disable'])
  const flags = impactFlags(given)
  const state = given.has('enable') ? 1 : 0
  if (state === 0 && !given.has('disable')) throw new ClientError('one of --enable, --disable is required')
  await shim.call('virDomainSetVcpu', { vcpumap: given.text('vcpulist')!, state, flags })
}

/** @throws ClientError for a number no IOThread has */
function iothreadId(given: Given): number {
  const id = given.int('id')!
  if (id <= 0) throw new ClientError(`Invalid IOThread id value: '${id}'`)
  return id
}

type IothreadParams = ArgsOf<'virDomainSetIOThreadParams'>['params']

async function iothreadset({ shim, given }: DomainCall): Promise<void> {
  const flags = impactFlags(given)
  const iothread_id = iothreadId(given)
  const polling = { min: 0, max: Number.MAX_SAFE_INTEGER }
  const values = {
    poll_max_ns: given.int('poll-max-ns', polling),
    poll_grow: given.int('poll-grow', polling),
    poll_shrink: given.int('poll-shrink', polling),
    thread_pool_min: given.int('thread-pool-min'),
    thread_pool_max: given.int('thread-pool-max')
  }
  const params = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as IothreadParams
  if (Object.keys(params).length === 0) throw new ClientError('Not enough arguments passed, nothing to set')
  await shim.call('virDomainSetIOThreadParams', { iothread_id, params, flags })
}

/** A size in KiB, what is begun counts. */
const sizeOf = (given: Given): bigint => (scaledInteger(given.text('size')!, '<size>', { unit: KIB }) + KIB - 1n) / KIB

async function setmem({ shim, given }: DomainCall): Promise<void> {
  const affected = impactFlags(given)
  const isSaid = given.has('live') || given.has('config') || given.has('current')
  await shim.call('virDomainSetMemoryFlags', { memory: sizeOf(given), flags: isSaid ? affected : AFFECT_LIVE })
}

async function setmaxmem({ shim, given }: DomainCall): Promise<void> {
  const flags = impactFlags(given) | MEM_MAXIMUM
  const memory = sizeOf(given)
  await saying('Unable to change MaxMemorySize', shim.call('virDomainSetMemoryFlags', { memory, flags }))
}

const DIRTY_RATE_MODES = ['page-sampling', 'dirty-bitmap', 'dirty-ring']

async function dirtyRate({ shim, given, session }: DomainCall): Promise<void> {
  const seconds = given.int('seconds') ?? 1
  const mode = given.text('mode')
  // VIR_DOMAIN_DIRTYRATE_MODE_* are in that order
  const flags = mode === undefined ? 0 : DIRTY_RATE_MODES.indexOf(mode)
  if (flags < 0) throw new ClientError(`Unknown calculation mode '${mode}'`)
  await shim.call('virDomainStartDirtyRateCalc', { seconds, flags })
  session.printExtra("Start to calculate domain's memory dirty rate successfully.\n")
}

const size = (help: string) => ({
  size: option.int(`${help}, as scaled integer (default KiB)`, { required: true, aliases: ['kilobytes'] })
})
const iothread = (help: string) => ({ id: option.int(help, { required: true }), ...impact })
const named = { named: true }

export const resize: Commands = {
  'domdirtyrate-calc': onDomain(
    "Calculate a vm's memory dirty rate",
    {
      seconds: option.int('calculate memory dirty rate within specified seconds, 1 to 60, default to 1', named),
      mode: option.text(`dirty page rate calculation mode: ${DIRTY_RATE_MODES.join(', ')}`, {
        ...named,
        values: DIRTY_RATE_MODES
      })
    },
    dirtyRate
  ),
  iothreadadd: onDomain(
    'add an IOThread to the guest domain',
    iothread('iothread for the new IOThread'),
    async ({ shim, given }) => {
      const flags = impactFlags(given)
      await shim.call('virDomainAddIOThread', { iothread_id: iothreadId(given), flags })
    }
  ),
  iothreaddel: onDomain(
    'delete an IOThread from the guest domain',
    iothread('iothread_id for the IOThread to delete'),
    async ({ shim, given }) => {
      const flags = impactFlags(given)
      await shim.call('virDomainDelIOThread', { iothread_id: iothreadId(given), flags })
    }
  ),
  iothreadset: onDomain(
    'modifies an existing IOThread of the guest domain',
    {
      ...iothread('iothread id of existing IOThread'),
      'poll-max-ns': option.int('set the maximum IOThread polling time in ns', named),
      'poll-grow': option.int('set the value to increase the IOThread polling time', named),
      'poll-shrink': option.int('set the value for reduction of the IOThread polling time', named),
      'thread-pool-min': option.int('lower boundary for worker thread pool', named),
      'thread-pool-max': option.int('upper boundary for worker thread pool', named)
    },
    iothreadset
  ),
  setmaxmem: onDomain('change maximum memory limit', { ...size('new maximum memory size'), ...impact }, setmaxmem),
  setmem: onDomain('change memory allocation', { ...size('new memory size'), ...impact }, setmem),
  setvcpu: onDomain(
    'attach/detach vcpu or groups of threads',
    {
      vcpulist: option.text('ids of vcpus to manipulate', { required: true }),
      enable: option.bool('enable cpus specified by cpumap'),
      disable: option.bool('disable cpus specified by cpumap'),
      ...impact
    },
    setvcpu
  ),
  setvcpus: onDomain(
    'change number of virtual CPUs',
    {
      count: option.int('number of virtual CPUs', { required: true }),
      maximum: option.bool('set maximum limit on next boot'),
      ...impact,
      guest: option.bool('modify cpu state in the guest'),
      hotpluggable: option.bool('make added vcpus hot(un)pluggable')
    },
    setvcpus
  )
}
