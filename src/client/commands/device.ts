// Commands that show a guest's devices: what its XML says, the size of its disks, addresses of its interfaces.
import { virDomainInterfaceAddressesSource } from '../../conf/enums.ts'
import { firstChild, type XmlElement } from '../../conf/xml.ts'
import { prettyCapacity } from '../capacity.ts'
import { type Commands, type DomainCall, onDomain, option } from '../command.ts'
import { devicesIn, linkOf } from '../device-xml.ts'
import { ClientError, saying } from '../failure.ts'
import { formatTable } from '../table.ts'

const VIR_DOMAIN_XML_INACTIVE = 2

/** The elements of that name among a guest's devices. */
async function devices({ shim, given }: DomainCall, name: string): Promise<XmlElement[]> {
  const flags = given.has('inactive') ? VIR_DOMAIN_XML_INACTIVE : 0
  return devicesIn((await shim.call('virDomainGetXMLDesc', { flags })).xml, name)
}

/** The first of several attributes a child element has. */
function attribute(device: XmlElement, child: string, ...names: string[]): string | undefined {
  const attributes = firstChild(device, child)?.attributes ?? {}
  return names.map(name => attributes[name]).find(value => value !== undefined)
}

function diskSource(disk: XmlElement): string {
  if (disk.attributes.type !== 'nvme') {
    return attribute(disk, 'source', 'file', 'dev', 'dir', 'name', 'volume', 'path') ?? '-'
  }
  const source = firstChild(disk, 'source')
  const { domain, bus, slot, function: fn } = (source && firstChild(source, 'address'))?.attributes ?? {}
  const hex = (text: string | undefined, digits: number) => Number(text).toString(16).padStart(digits, '0')
  return `nvme://${hex(domain, 4)}:${hex(bus, 2)}:${hex(slot, 2)}.${Number(fn)}/${source?.attributes.namespace}`
}

type BlockInfo = Record<'capacity' | 'allocation' | 'physical', number | bigint>

/** Capacity, allocation and physical size as text: bytes, or with a unit. */
function sizes({ capacity, allocation, physical }: BlockInfo, human: boolean): string[] {
  const all = [capacity, allocation, physical]
  if (all.every(value => Number(value) === 0)) return all.map(() => '-')
  return all.map(value => (human ? prettyCapacity(value) : String(value)))
}

async function domblkinfo(call: DomainCall): Promise<void> {
  const { shim, given, session } = call
  given.exclusive(['all', 'device'])
  const human = given.has('human')
  const disk = given.text('device')
  if (!given.has('all')) {
    if (disk === undefined) throw new ClientError("command 'domblkinfo' requires <device> option")
    const [capacity, allocation, physical] = sizes(await shim.call('virDomainGetBlockInfo', { disk }), human)
    session.field('Capacity', capacity!)
    session.field('Allocation', allocation!)
    session.field('Physical', physical!)
    return
  }
  const none: BlockInfo = { capacity: 0, allocation: 0, physical: 0 }
  const rows = []
  for (const device of await devices(call, 'disk')) {
    const target = attribute(device, 'target', 'dev') ?? ''
    const info: BlockInfo = firstChild(device, 'source')
      ? await shim.call('virDomainGetBlockInfo', { disk: target })
      : none
    rows.push([target, ...sizes(info, human)])
  }
  session.print(formatTable(['Target', 'Capacity', 'Allocation', 'Physical'], rows, session.options.quiet))
}

const ADDRESS_SOURCES = new Map(
  Object.entries(virDomainInterfaceAddressesSource).map(([name, source]) => [
    name.replace('VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_', '').toLowerCase(),
    source
  ])
)
const PROTOCOLS = ['ipv4', 'ipv6']

async function domifaddr({ shim, given, session }: DomainCall): Promise<void> {
  const name = given.text('source') ?? 'lease'
  const source = ADDRESS_SOURCES.get(name)
  if (source === undefined) throw new ClientError(`Unknown data source '${name}'`)
  const call = shim.call('virDomainInterfaceAddresses', { source })
  const { ifaces } = await saying('Failed to query for interfaces addresses', call)
  const line = (iface: string, mac: string, rest: string) =>
    session.print(` ${iface.padEnd(10)} ${mac.padEnd(17)}    ${rest}\n`)
  const header = ` ${'Name'.padEnd(10)} ${'MAC address'.padEnd(20)} ${'Protocol'.padEnd(8)}     Address`
  session.printExtra(`${header}\n${'-'.repeat(79)}\n`)
  const wanted = given.text('interface')
  for (const { name: iface, hwaddr, addrs } of ifaces) {
    if (wanted !== undefined && wanted !== iface) continue
    if (addrs.length === 0) line(iface, hwaddr ?? 'N/A', `${'N/A'.padEnd(12)} N/A`)
    addrs.forEach(({ type, addr, prefix }, i) => {
      const address = `${(PROTOCOLS[type] ?? '').padEnd(12)} ${addr}/${prefix}`
      if (i === 0 || given.has('full')) line(iface, hwaddr ?? '', address)
      else line('-', '-', address)
    })
  }
}

/** By virDomainDiskErrorCode. */
const DISK_ERRORS = ['no error', 'unspecified error', 'no space']

export const device: Commands = {
  domblkerror: {
    ...onDomain('Show errors on block devices', {}, async ({ shim, session }) => {
      const { errors } = await shim.call('virDomainGetDiskErrors')
      if (errors.length === 0) session.print('No errors found\n')
      for (const { disk, error } of errors) session.print(`${disk}: ${DISK_ERRORS[error] ?? 'unknown error'}\n`)
    }),
    description: 'Show block device errors'
  },

  domblkinfo: onDomain(
    'domain block device size information',
    {
      device: option.text('block device'),
      human: option.bool('human readable output'),
      all: option.bool('display all block devices info')
    },
    domblkinfo
  ),

  domblklist: onDomain(
    'list all domain blocks',
    {
      inactive: option.bool('get inactive rather than running configuration'),
      details: option.bool('additionally display the type and device value')
    },
    async call => {
      const { given, session } = call
      const details = given.has('details')
      const rows = (await devices(call, 'disk')).map(disk => {
        const row = [attribute(disk, 'target', 'dev') ?? '', diskSource(disk)]
        return details ? [disk.attributes.type ?? '', disk.attributes.device ?? '', ...row] : row
      })
      const header = [...(details ? ['Type', 'Device'] : []), 'Target', 'Source']
      session.print(formatTable(header, rows, session.options.quiet))
    }
  ),

  'domif-getlink': onDomain(
    'get link state of a virtual interface',
    {
      interface: option.text('interface device (MAC Address)', { required: true }),
      config: option.bool('Get persistent interface state', { aliases: ['persistent'] })
    },
    async ({ shim, given, session }) => {
      const flags = given.has('config') ? VIR_DOMAIN_XML_INACTIVE : 0
      const name = given.text('interface')!
      session.print(`${name} ${linkOf((await shim.call('virDomainGetXMLDesc', { flags })).xml, name)}`)
    }
  ),

  domifaddr: onDomain(
    "Get network interfaces' addresses for a running domain",
    {
      interface: option.text('network interface name'),
      full: option.bool('always display names and MACs of interfaces'),
      source: option.text("address source: 'lease', 'agent', or 'arp'", { values: [...ADDRESS_SOURCES.keys()] })
    },
    domifaddr
  ),

  domiflist: onDomain(
    'list all domain virtual interfaces',
    { inactive: option.bool('get inactive rather than running configuration') },
    async call => {
      const rows = (await devices(call, 'interface')).map(nic => [
        attribute(nic, 'target', 'dev') ?? '-',
        nic.attributes.type ?? '',
        attribute(nic, 'source', 'bridge', 'dev', 'network', 'name', 'path') ?? '-',
        attribute(nic, 'model', 'type') ?? '-',
        attribute(nic, 'mac', 'address') ?? '-'
      ])
      const { session } = call
      session.print(formatTable(['Interface', 'Type', 'Source', 'Model', 'MAC'], rows, session.options.quiet))
    }
  )
}
