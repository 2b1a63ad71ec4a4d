// Commands that bring, take and change devices.
import type { Given, Options } from '../arguments.ts'
import { type Command, type Commands, type DomainCall, impact, impactFlags, onDomain, option } from '../command.ts'
import {
  diskFrom,
  findDisk,
  findInterface,
  interfaceFrom,
  type MediaAction,
  memoryFrom,
  textOfDevice,
  withLink,
  withMedium
} from '../device-xml.ts'
import { ApiError, ClientError, saying } from '../failure.ts'
import { readOrFail } from '../input.ts'
import type { Session } from '../session.ts'

const LIVE = 1
const CONFIG = 2
const FORCE = 4
const VIR_DOMAIN_XML_INACTIVE = 2

const persistently = { persistent: option.bool('make live change persistent'), ...impact }
const file = option.text('XML file', { required: true })
const printXml = (verb: string) => option.bool(`print XML document rather than ${verb}`)

/** The flags of options that say where; `--persistent` on a running guest means both. */
function flagsOf({ given, id }: Pick<DomainCall, 'given' | 'id'>): number {
  given.exclusive(['persistent', 'current'])
  const flags = impactFlags(given)
  if (!given.has('persistent')) return flags
  return flags | CONFIG | (id === -1 ? 0 : LIVE)
}

type Caller = Pick<DomainCall, 'shim' | 'given'>

/** Calls the API with flags, or without any the one that has none. */
async function attach({ shim, given }: Caller, xml: string, flags: number): Promise<void> {
  await (flags || given.has('current')
    ? shim.call('virDomainAttachDeviceFlags', { xml, flags })
    : shim.call('virDomainAttachDevice', { xml }))
}

async function detach({ shim, given }: Caller, xml: string, flags: number): Promise<void> {
  await (flags || given.has('current')
    ? shim.call('virDomainDetachDeviceFlags', { xml, flags })
    : shim.call('virDomainDetachDevice', { xml }))
}

/** A command that makes XML of its options, which needs no guest where it is only shown. */
function attachMade(
  help: string,
  options: Options,
  what: string,
  done: string,
  make: (given: Given) => string
): Command {
  const run = async (call: DomainCall) => {
    await saying(`Failed to attach ${what}`, attach(call, make(call.given), flagsOf(call)))
    call.session.printExtra(`${done} attached successfully\n`)
  }
  const command = onDomain(help, options, run)
  return {
    ...command,
    async run(session: Session, given: Given) {
      given.exclusive(['persistent', 'current'])
      impactFlags(given)
      const xml = make(given)
      if (given.has('print-xml')) session.print(xml)
      else await command.run(session, given)
    }
  }
}

async function xmlOf({ shim }: DomainCall, flags: number): Promise<string> {
  return (await shim.call('virDomainGetXMLDesc', { flags })).xml
}

async function detachInterface(call: DomainCall): Promise<void> {
  const { given, session } = call
  const flags = flagsOf(call)
  const one = async (xml: string, bits: number) => {
    const card = textOfDevice(findInterface(xml, given.text('type')!, given.text('mac')))
    if (given.has('print-xml')) session.print(card)
    else await detach(call, card, bits)
  }
  const both = async () => {
    if (flags & CONFIG) await one(await xmlOf(call, VIR_DOMAIN_XML_INACTIVE), CONFIG)
    if (flags & LIVE || !(flags & CONFIG)) await one(await xmlOf(call, 0), flags & LIVE)
  }
  if (given.has('print-xml')) return await both()
  try {
    await both()
  } catch (error) {
    if (!(error instanceof ClientError)) throw error
    const failed = 'Failed to detach interface'
    throw new ClientError(...(error instanceof ApiError ? [failed, ...error.lines] : [...error.lines, failed]))
  }
  session.printExtra('Interface detached successfully\n')
}

async function detachDisk(call: DomainCall): Promise<void> {
  const { given, session } = call
  const flags = flagsOf(call)
  const xml = await xmlOf(call, flagsOf({ given, id: -1 }) === CONFIG ? VIR_DOMAIN_XML_INACTIVE : 0)
  const disk = textOfDevice(findDisk(xml, given.text('target')!))
  if (given.has('print-xml')) {
    session.print(disk)
    return
  }
  await saying('Failed to detach disk', detach(call, disk, flags))
  session.printExtra('Disk detached successfully\n')
}

const LINK_STATES = ['up', 'down']

async function setLink(call: DomainCall): Promise<void> {
  const { given, session, shim, id } = call
  const state = given.text('state')!
  if (!LINK_STATES.includes(state)) throw new ClientError(`invalid link state '${state}'`)
  const isConfig = given.has('config')
  const shown = await xmlOf(call, isConfig ? VIR_DOMAIN_XML_INACTIVE : 0)
  const xml = withLink(shown, given.text('interface')!, state)
  if (given.has('print-xml')) {
    session.print(xml)
    return
  }
  const flags = isConfig || id === -1 ? CONFIG : LIVE
  await saying('Failed to update interface link state', shim.call('virDomainUpdateDeviceFlags', { xml, flags }))
  session.printExtra('Device updated successfully\n')
}

const MEDIA_DONE: Record<MediaAction, string> = { eject: 'ejected', insert: 'inserted', update: 'updated' }

async function changeMedia(call: DomainCall): Promise<void> {
  const { given, session, shim } = call
  given.exclusive(['eject', 'insert'], ['eject', 'update'], ['insert', 'update'], ['eject', 'block'])
  const medium = given.text('source')
  const isEject = given.has('eject') || (given.has('update') && medium === undefined)
  const action: MediaAction = isEject ? 'eject' : given.has('insert') ? 'insert' : 'update'
  const flags = impactFlags(given) | (given.has('force') ? FORCE : 0)
  const path = given.text('path')!
  const disk = findDisk(await xmlOf(call, flags & CONFIG ? VIR_DOMAIN_XML_INACTIVE : 0), path, { changeable: true })
  const xml = withMedium(disk, path, action, medium, given.has('block'))
  if (given.has('print-xml')) {
    session.print(xml)
    return
  }
  const update = shim.call('virDomainUpdateDeviceFlags', { xml, flags })
  await saying(`Failed to complete action ${action} on media`, update)
  session.print(`Successfully ${MEDIA_DONE[action]} media.`)
}

async function updateMemoryDevice(call: DomainCall): Promise<void> {
  const { given, session, shim } = call
  const flags = impactFlags(given)
  given.exclusive(['node', 'alias'])
  const xml = memoryFrom(await xmlOf(call, flags & CONFIG ? VIR_DOMAIN_XML_INACTIVE : 0), given)
  if (given.has('print-xml')) session.print(xml)
  else await shim.call('virDomainUpdateDeviceFlags', { xml, flags })
}

type OnDevice = (call: DomainCall, xml: string, flags: number) => Promise<unknown>

/** A command on the device that an XML file describes. */
const onFile = (help: string, verb: string, options: Options, run: OnDevice) =>
  onDomain(help, { file, ...persistently, ...options }, async call => {
    const { given, session } = call
    const flags = flagsOf(call)
    const xml = String(await readOrFail(given.text('file')!))
    await saying(`Failed to ${verb} device from ${given.text('file')}`, run(call, xml, flags))
    session.printExtra(`Device ${verb.replace(/e?$/, 'ed')} successfully\n`)
  })

export const attaching: Commands = {
  'attach-device': onFile('attach device from an XML file', 'attach', {}, attach),

  'attach-disk': attachMade(
    'attach disk device',
    {
      source: option.text('source of disk device or name of network disk', { required: true, emptyOk: true }),
      target: option.text('target of disk device', { required: true }),
      targetbus: option.text('target bus of disk device', { named: true }),
      driver: option.text('driver of disk device', { named: true }),
      subdriver: option.text('subdriver of disk device', { named: true }),
      iothread: option.text('IOThread to be used by supported device', { named: true }),
      cache: option.text('cache mode of disk device', { named: true }),
      io: option.text('io policy of disk device', { named: true }),
      type: option.text('target device type', { named: true }),
      mode: option.text('mode of device reading and writing', { named: true, aliases: ['shareable=shareable'] }),
      sourcetype: option.text('type of source (block|file|network)', { named: true }),
      serial: option.text('serial of disk device', { named: true }),
      wwn: option.text('wwn of disk device', { named: true }),
      alias: option.text('custom alias name of disk device', { named: true }),
      rawio: option.bool('needs rawio capability'),
      address: option.text('address of disk device', { named: true }),
      multifunction: option.bool('use multifunction pci under specified address'),
      'print-xml': printXml('attach the disk'),
      'source-protocol': option.text('protocol used by disk device source', { named: true }),
      'source-host-name': option.text('host name for source of disk device', { named: true }),
      'source-host-transport': option.text('host transport for source of disk device', { named: true }),
      'source-host-socket': option.text('host socket for source of disk device', { named: true }),
      ...persistently
    },
    'disk',
    'Disk',
    diskFrom
  ),

  'attach-interface': attachMade(
    'attach network interface',
    {
      type: option.text('network interface type', { required: true }),
      source: option.text('source of network interface', { required: true }),
      target: option.text('target network name'),
      mac: option.text('MAC address'),
      script: option.text('script used to bridge network interface'),
      model: option.text('model type'),
      alias: option.text('custom alias name of interface device'),
      inbound: option.text("control domain's incoming traffics"),
      outbound: option.text("control domain's outgoing traffics"),
      ...persistently,
      'print-xml': printXml('attach the interface'),
      managed: option.bool('libvirt will automatically detach/attach the device from/to host'),
      'source-mode': option.text('mode attribute of <source/> element')
    },
    'interface',
    'Interface',
    interfaceFrom
  ),

  'change-media': onDomain(
    'Change media of CD or floppy drive',
    {
      path: option.text('Fully-qualified path or target of disk device', { required: true }),
      source: option.text('source of the media'),
      eject: option.bool('Eject the media'),
      insert: option.bool('Insert the media'),
      update: option.bool('Update the media'),
      ...impact,
      force: option.bool('force media changing'),
      'print-xml': printXml('change media'),
      block: option.bool('source media is a block device')
    },
    changeMedia
  ),

  'detach-device': onFile('detach device from an XML file', 'detach', {}, detach),

  'detach-device-alias': onDomain(
    'detach device from an alias',
    { alias: option.text('device alias', { required: true }), ...impact },
    async ({ shim, given, session }) => {
      const alias = given.text('alias')!
      const detached = shim.call('virDomainDetachDeviceAlias', { alias, flags: impactFlags(given) })
      await saying(`Failed to detach device with alias ${alias}`, detached)
      session.printExtra('Device detach request sent successfully\n')
    }
  ),

  'detach-disk': onDomain(
    'detach disk device',
    {
      target: option.text('target of disk device', { required: true }),
      ...persistently,
      'print-xml': printXml('detach the disk')
    },
    detachDisk
  ),

  'detach-interface': onDomain(
    'detach network interface',
    {
      type: option.text('network interface type', { required: true }),
      mac: option.text('MAC address'),
      ...persistently,
      'print-xml': printXml('detach the interface')
    },
    detachInterface
  ),

  'domif-setlink': onDomain(
    'set link state of a virtual interface',
    {
      interface: option.text('interface device (MAC Address)', { required: true }),
      state: option.text('new state of the device', { required: true, values: LINK_STATES }),
      config: option.bool('affect next boot', { aliases: ['persistent'] }),
      'print-xml': printXml('set the interface link state')
    },
    setLink
  ),

  'update-device': onFile(
    'update device from an XML file',
    'update',
    { force: option.bool('force device update') },
    ({ shim, given }, xml, flags) =>
      shim.call('virDomainUpdateDeviceFlags', { xml, flags: flags | (given.has('force') ? FORCE : 0) })
  ),

  'update-memory-device': onDomain(
    'update memory device of a domain',
    {
      ...impact,
      'print-xml': printXml('executing the change'),
      alias: option.text('memory device alias', { named: true }),
      node: option.int('memory device target node', { named: true }),
      'requested-size': option.int('new value of <requested/> size, as scaled integer (default KiB)', { named: true })
    },
    updateMemoryDevice
  )
}
