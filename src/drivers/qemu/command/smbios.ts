// -smbios: blocks of the user's own or of the host; -fw_cfg: files for the firmware.
import { type SmbiosBlock, type SmbiosInfo, smbiosEntries } from '../../../conf/domain/sysinfo.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { escapeXml } from '../../../conf/xml.ts'
import { hostSmbios } from '../../../host/smbios.ts'
import { keyValue } from '../parts/props.ts'
import type { Command } from './command.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** SMBIOS structure numbers of the blocks, in the order libvirt writes them. */
const TYPES = { bios: 0, system: 1, baseBoard: 2, chassis: 3 } as const
const OEM_STRINGS_TYPE = 11

function source({ def }: Command): SmbiosInfo | undefined {
  if (def.os.smbios === 'sysinfo') {
    const own = def.sysinfo.find(info => info.type === 'smbios')
    if (!own) throw fail('VIR_ERR_XML_ERROR', `Domain '${def.name}' sysinfo are not available`)
    return own
  }
  if (def.os.smbios !== 'host') return undefined
  const host = hostSmbios()
  if (!host) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Host SMBIOS information is not available')
  return host
}

function addBlock(command: Command, kind: keyof typeof TYPES, block: SmbiosBlock | undefined): void {
  if (!block) return
  const values: Record<string, string | undefined> = block
  const props = Object.fromEntries(smbiosEntries[kind].map(name => [name, values[name]]))
  command.add('-smbios', keyValue(`type=${TYPES[kind]}`, props))
}

/** The blocks of the named source. @throws VIR_ERR_CONFIG_UNSUPPORTED (qemuBuildSmbiosCommandLine) */
export function smbiosArgs(command: Command): void {
  const info = source(command)
  if (!info) return
  addBlock(command, 'bios', info.bios)
  // The guest has a uuid of its own, never the host's
  addBlock(
    command,
    'system',
    info.system && command.def.os.smbios === 'host' ? { ...info.system, uuid: undefined } : info.system
  )
  if (info.baseBoards.length > 1)
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'qemu does not support more than one entry to Type 2 in SMBIOS table')
  for (const board of info.baseBoards) addBlock(command, 'baseBoard', { manufacturer: '', ...board })
  addBlock(command, 'chassis', info.chassis && { manufacturer: '', ...info.chassis })
  if (info.oemStrings) {
    const values = info.oemStrings.map(value => keyValue('', { value }))
    command.add('-smbios', [`type=${OEM_STRINGS_TYPE}`, ...values].join(','))
  }
}

/** Values are escaped as XML, as libvirt does it, and commas in them are not doubled. */
export function fwcfgArgs(command: Command): void {
  for (const info of command.def.sysinfo) {
    if (info.type !== 'fwcfg') continue
    for (const { name, value, file } of info.entries) {
      const content = value === undefined ? `file=${escapeXml(file!)}` : `string=${escapeXml(value)}`
      command.add('-fw_cfg', `name=${name},${content}`)
    }
  }
}
