// The host's SMBIOS blocks as <sysinfo>, processors and memory included (virSysinfoRead, virSysinfoFormat).
import { formatSysinfo } from '../conf/domain/sysinfo.ts'
import { element, formatXml, type XmlElement } from '../conf/xml.ts'
import { runHostCommand } from './command.ts'
import { DMIDECODE_ARGS, dmiBlocks, parseDmidecode } from './smbios.ts'

const PROCESSOR = {
  socket_destination: 'Socket Designation',
  type: 'Type',
  family: 'Family',
  manufacturer: 'Manufacturer',
  signature: 'Signature',
  version: 'Version',
  external_clock: 'External Clock',
  max_speed: 'Max Speed',
  status: 'Status',
  serial_number: 'Serial Number',
  part_number: 'Part Number'
}
const MEMORY = {
  size: 'Size',
  form_factor: 'Form Factor',
  locator: 'Locator',
  bank_locator: 'Bank Locator',
  type: 'Type',
  type_detail: 'Type Detail',
  speed: 'Speed',
  manufacturer: 'Manufacturer',
  serial_number: 'Serial Number',
  part_number: 'Part Number'
}
const EMPTY_SLOT = 'No Module Installed'

const blockElement = (name: string, block: Record<string, string>): XmlElement =>
  element(
    name,
    {},
    Object.entries(block).map(([entry, value]) => element('entry', { name: entry }, [value]))
  )

/** dmidecode's output as <sysinfo>. */
export function sysinfoOf(output: string): string {
  const node = formatSysinfo(parseDmidecode(output))
  const more = [
    ...dmiBlocks(output, 'Processor Information', PROCESSOR).map(block => blockElement('processor', block)),
    ...dmiBlocks(output, 'Memory Device', MEMORY)
      .filter(({ size }) => size !== EMPTY_SLOT)
      .map(block => blockElement('memory_device', block))
  ]
  const oem = node.children.findIndex(child => typeof child !== 'string' && child.name === 'oemStrings')
  node.children.splice(oem < 0 ? node.children.length : oem, 0, ...more)
  return formatXml(node)
}

/** The host's own, undefined where dmidecode is missing or may not read it. */
export async function hostSysinfo(): Promise<string | undefined> {
  const output = await runHostCommand('dmidecode', DMIDECODE_ARGS).catch(() => undefined)
  return output === undefined ? undefined : sysinfoOf(output)
}
