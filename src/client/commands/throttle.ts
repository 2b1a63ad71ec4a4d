// Commands that limit a guest's disks and interfaces, resize its disks and watch them.
import { IOTUNE_LIMITS } from '../../conf/devices/disk-iotune.ts'
import { childElements, firstChild, parseXml, textOf, type XmlElement } from '../../conf/xml.ts'
import { type Given, type Option, scaledInteger, ULLONG_MAX } from '../arguments.ts'
import { type Commands, type DomainCall, impact, impactFlags, onDomain, option } from '../command.ts'
import { ClientError, saying } from '../failure.ts'
import { formatTable } from '../table.ts'

const XML_INACTIVE = 2
const RESIZE_BYTES = 1
const RESIZE_CAPACITY = 2
const KIB = 1024n
const UINT_MAX = 2n ** 32n - 1n

/** The options of limits, in virsh's order, bytes with suffixes. */
const LIMIT_HELP: [suffix: string, bytes: string, iops: string][] = [
  ['', 'throughput limit, as scaled integer (default bytes)', 'I/O operations limit per second'],
  ['-max', 'max, as scaled integer (default bytes)', 'I/O operations max']
]
const WHO = ['total', 'read', 'write'] as const
const isScaled = (name: string) => /-bytes-sec(-max)?$/.test(name)

/** Each can be called with underlines, too. */
const limitOptions: Record<string, Option> = underlined({
  ...Object.fromEntries(
    LIMIT_HELP.flatMap(([suffix, bytes, iops]) => [
      ...WHO.map(who => [`${who}-bytes-sec${suffix}`, option.int(`${who} ${bytes}`, { named: true })]),
      ...WHO.map(who => [`${who}-iops-sec${suffix}`, option.int(`${who} ${iops}`, { named: true })])
    ])
  ),
  'size-iops-sec': option.int('I/O size in bytes', { named: true }),
  ...Object.fromEntries(
    (['bytes', 'I/O operations'] as const).flatMap(what =>
      WHO.map(who => [
        `${who}-${what === 'bytes' ? what : 'iops'}-sec-max-length`,
        option.int(`duration in seconds to allow ${who} max ${what}`, { named: true })
      ])
    )
  )
})

function underlined(options: Record<string, Option>): Record<string, Option> {
  const named = Object.entries(options).map(([name, one]) => [name, { ...one, aliases: [name.replaceAll('-', '_')] }])
  return Object.fromEntries(named)
}

/** The limits that are given, in the order virsh tells them: those in bytes first. */
function limitsOf(given: Given): Record<string, bigint> {
  const names = Object.keys(limitOptions).filter(name => given.has(name))
  const inOrder = [...names.filter(isScaled), ...names.filter(name => !isScaled(name))]
  return Object.fromEntries(inOrder.map(name => [name.replaceAll('-', '_'), limitOf(given, name)]))
}

function limitOf(given: Given, name: string): bigint {
  const text = given.text(name)!
  try {
    return isScaled(name) ? scaledInteger(text, `<${name}>`) : wholeNumber(text, name)
  } catch (error) {
    if (error instanceof ClientError) throw new ClientError(...error.lines, 'Unable to parse integer parameter')
    throw error
  }
}

function wholeNumber(text: string, name: string): bigint {
  const value = /^\s*\+?\d+$/.test(text) ? BigInt(text) : undefined
  if (value !== undefined && value <= ULLONG_MAX) return value
  throw new ClientError(`Numeric value '${text}' for <${name}> option is malformed or out of range`)
}

async function blkdeviotune({ shim, given, session }: DomainCall): Promise<void> {
  const flags = impactFlags(given)
  const disk = given.text('device')!
  const group = given.text('group-name')
  const params = { ...limitsOf(given), ...(group !== undefined && { group_name: group }) }
  if (Object.keys(params).length > 0) {
    const call = shim.call('virDomainSetBlockIoTune', { disk, params, flags })
    return void (await saying('Unable to change block I/O throttle', call))
  }
  await saying('Unable to get number of block I/O throttle parameters', shim.call('virDomainGetBlockIoTune', { flags }))
  const call = shim.call('virDomainGetBlockIoTune', { disk, flags })
  const known = await saying('Unable to get block I/O throttle parameters', call)
  for (const [name, value] of Object.entries(known.params)) session.print(`${name.padEnd(15)}: ${value}\n`)
}

/** The groups of limits in a guest's XML. */
async function groupsOf({ shim, given }: DomainCall): Promise<XmlElement[]> {
  const { xml } = await shim.call('virDomainGetXMLDesc', { flags: given.has('inactive') ? XML_INACTIVE : 0 })
  const lists = childElements(parseXml(xml), 'throttlegroups')
  return lists.flatMap(list => childElements(list, 'throttlegroup'))
}

const childText = (node: XmlElement, name: string): string => {
  const child = firstChild(node, name)
  return child ? textOf(child) : ''
}

const groupName = option.text('throttle group name', { required: true })
const inactive = option.bool('get inactive rather than running configuration')
const RATES = ['average', 'peak', 'burst', 'floor'] as const

/** `average,peak,burst,floor` as parameters; those that are 0 are left out, but for the average. */
function ratesOf(given: Given, direction: 'inbound' | 'outbound'): Record<string, bigint> {
  const text = given.text(direction)
  if (text === undefined) return {}
  const fields = text.split(',')
  if (fields.length > RATES.length) throw new ClientError(`Rate string '${text}' has too many fields`)
  const rate = Object.fromEntries(RATES.map((name, i) => [name, rateField(fields[i], name)]))
  if ([rate.average, rate.peak, rate.burst].some(value => value! > UINT_MAX)) {
    throw new ClientError(`${direction} rate larger than maximum ${UINT_MAX}`)
  }
  const needsAverage = !rate.average && (rate.burst || rate.peak)
  if (direction === 'outbound' && needsAverage) throw new ClientError('outbound average is mandatory')
  if (direction === 'outbound' && rate.floor) throw new ClientError('outbound floor is unsupported yet')
  if (needsAverage && !rate.floor) throw new ClientError('either inbound average or floor is mandatory')
  const told = RATES.filter(name => name === 'average' || rate[name])
  return Object.fromEntries(told.map(name => [`${direction}.${name}`, rate[name]!]))
}

function rateField(text: string | undefined, name: string): bigint {
  if (!text) return 0n
  const value = /^\s*\+?\d+$/.test(text) ? BigInt(text) : undefined
  if (value === undefined || value > ULLONG_MAX) throw new ClientError(`field '${name}' is malformed`)
  return value
}

async function domiftune({ shim, given, session }: DomainCall): Promise<void> {
  const flags = impactFlags(given)
  const device = given.text('interface')!
  const params = { ...ratesOf(given, 'inbound'), ...ratesOf(given, 'outbound') } as Record<string, number | bigint>
  if (Object.keys(params).length > 0) {
    const numbers = Object.fromEntries(Object.entries(params).map(([name, value]) => [name, Number(value)]))
    const call = shim.call('virDomainSetInterfaceParameters', { device, params: numbers, flags })
    return void (await saying('Unable to set interface parameters', call))
  }
  await saying('Unable to get number of interface parameters', shim.call('virDomainGetInterfaceParameters', { flags }))
  const call = shim.call('virDomainGetInterfaceParameters', { device, flags })
  const known = await saying('Unable to get interface parameters', call)
  for (const [name, value] of Object.entries(known.params)) session.print(`${name.padEnd(15)}: ${value}\n`)
}

async function blockresize({ shim, given, session }: DomainCall): Promise<void> {
  given.exclusive(['size', 'capacity'])
  const [disk, text] = [given.text('path')!, given.text('size')]
  const toCapacity = given.has('capacity')
  if (text === undefined && !toCapacity) throw new ClientError('Either --size or --capacity must be provided')
  const bytes = text === undefined ? 0n : scaledInteger(text, '<size>', { unit: KIB })
  const isWhole = bytes % KIB === 0n
  const size = isWhole ? bytes / KIB : bytes
  const flags = toCapacity ? RESIZE_CAPACITY : isWhole ? 0 : RESIZE_BYTES
  await saying(`Failed to resize block device '${disk}'`, shim.call('virDomainBlockResize', { disk, size, flags }))
  session.printExtra(`Block device '${disk}' is resized`)
}

export const throttle: Commands = {
  blkdeviotune: onDomain(
    'Set or query a block device I/O tuning parameters.',
    {
      device: option.text('block device', { required: true }),
      'group-name': option.text('group name to share I/O quota between multiple drives', {
        named: true,
        aliases: ['group_name']
      }),
      ...limitOptions,
      ...impact
    },
    blkdeviotune
  ),

  blockresize: onDomain(
    'Resize block device of domain.',
    {
      path: option.text('Fully-qualified path of block device', { required: true }),
      size: option.int('New size of the block device, as scaled integer (default KiB)'),
      capacity: option.bool('resize to capacity of source (block device)')
    },
    blockresize
  ),

  domblkthreshold: onDomain(
    "set the threshold for block-threshold event for a given block device or it's backing chain element",
    {
      dev: option.text('device to set threshold for', { required: true }),
      threshold: option.int('threshold as a scaled number (by default bytes)', { required: true })
    },
    async ({ shim, given }) => {
      const threshold = scaledInteger(given.text('threshold')!, '<threshold>')
      await shim.call('virDomainSetBlockThreshold', { dev: given.text('dev')!, threshold })
    }
  ),

  'domdisplay-reload': onDomain(
    "Reload domain's graphics display certificates",
    { type: option.int('graphics display type') },
    async ({ shim, given }) => {
      const type = given.int('type', { min: 0, max: Number(UINT_MAX) }) ?? 0
      await shim.call('virDomainGraphicsReload', { type })
    }
  ),

  domiftune: onDomain(
    'get/set parameters of a virtual interface',
    {
      interface: option.text('interface device (MAC Address)', { required: true }),
      inbound: option.text("control domain's incoming traffics"),
      outbound: option.text("control domain's outgoing traffics"),
      ...impact
    },
    domiftune
  ),

  domthrottlegroupdel: onDomain(
    'Delete a throttling group.',
    { 'group-name': groupName, ...impact },
    async ({ shim, given, session }) => {
      const flags = impactFlags(given)
      await shim.call('virDomainDelThrottleGroup', { group: given.text('group-name')!, flags })
      session.printExtra('Throttle group deleted successfully\n')
    }
  ),

  domthrottlegroupinfo: onDomain('Get a throttling group.', { 'group-name': groupName, inactive }, async call => {
    const wanted = call.given.text('group-name')
    const group = (await groupsOf(call)).find(one => childText(one, 'group_name') === wanted)
    if (!group) return
    for (const limit of IOTUNE_LIMITS) {
      const value = childText(group, limit)
      if (value !== '') call.session.print(`${limit.padEnd(15)}: ${value}\n`)
    }
  }),

  domthrottlegrouplist: onDomain('list all domain throttlegroups.', { inactive }, async call => {
    const rows = (await groupsOf(call)).map(group => [childText(group, 'group_name')])
    call.session.print(formatTable(['Name'], rows, call.session.options.quiet))
  }),

  domthrottlegroupset: onDomain(
    'Add or update a throttling group.',
    { 'group-name': groupName, ...limitOptions, ...impact },
    async ({ shim, given, session }) => {
      const flags = impactFlags(given)
      const group = given.text('group-name')!
      const params = { ...limitsOf(given), group_name: group }
      const call = shim.call('virDomainSetThrottleGroup', { group, params, flags })
      await saying('Unable to set throttle group', call)
      session.printExtra('Throttle group set successfully\n')
    }
  )
}
