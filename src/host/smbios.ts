// The host's own SMBIOS blocks, as dmidecode tells them (virSysinfoReadDMI).
import { spawnSync } from 'node:child_process'
import type { SmbiosBlock, SmbiosInfo, smbiosEntries } from '../conf/domain/sysinfo.ts'

/** dmidecode's titles of the blocks and its names of their entries */
const BLOCKS = {
  bios: ['BIOS Information', { vendor: 'Vendor', version: 'Version', date: 'Release Date', release: 'BIOS Revision' }],
  system: [
    'System Information',
    {
      manufacturer: 'Manufacturer',
      product: 'Product Name',
      version: 'Version',
      serial: 'Serial Number',
      uuid: 'UUID',
      sku: 'SKU Number',
      family: 'Family'
    }
  ],
  baseBoard: [
    'Base Board Information',
    {
      manufacturer: 'Manufacturer',
      product: 'Product Name',
      version: 'Version',
      serial: 'Serial Number',
      asset: 'Asset Tag',
      location: 'Location In Chassis'
    }
  ],
  chassis: [
    'Chassis Information',
    {
      manufacturer: 'Manufacturer',
      version: 'Version',
      serial: 'Serial Number',
      asset: 'Asset Tag',
      sku: 'SKU Number'
    }
  ]
} as const satisfies {
  [K in keyof typeof smbiosEntries]: [string, { [N in (typeof smbiosEntries)[K][number]]: string }]
}

/** Every block of that title in dmidecode's output, with the entries that have a value under names of our own. */
export function dmiBlocks(output: string, title: string, names: Record<string, string>): Record<string, string>[] {
  return output
    .split(/\n\n+/)
    .filter(text => text.startsWith(`${title}\n`))
    .map(text => {
      const given = new Map(
        [...text.matchAll(/^\t([^\t:\n]+):[ \t]*([^\n]*)$/gm)].map(([, name, value]) => [name, value!.trimEnd()])
      )
      const found = Object.entries(names).flatMap(([entry, name]) => {
        const value = given.get(name)
        return value ? [[entry, value]] : []
      })
      return Object.fromEntries(found) as Record<string, string>
    })
    .filter(block => Object.keys(block).length > 0)
}

/** Every block of that kind. */
function blocks<K extends keyof typeof BLOCKS>(output: string, kind: K): SmbiosBlock<K>[] {
  const [title, names] = BLOCKS[kind]
  return dmiBlocks(output, title, names) as SmbiosBlock<K>[]
}

/** dmidecode's output as blocks. */
export function parseDmidecode(output: string): SmbiosInfo {
  const [bios] = blocks(output, 'bios')
  const [system] = blocks(output, 'system')
  const [chassis] = blocks(output, 'chassis')
  const strings = [...output.matchAll(/^\tString \d+:[ \t]*([^\n]*)$/gm)].map(([, value]) => value!)
  return {
    type: 'smbios',
    ...(bios && { bios }),
    ...(system && { system }),
    baseBoards: blocks(output, 'baseBoard'),
    ...(chassis && { chassis }),
    ...(strings.length > 0 && { oemStrings: strings })
  }
}

/** The blocks libvirt asks for. */
export const DMIDECODE_ARGS = ['-q', '-t', '0,1,2,3,4,11,17']

/** The host's blocks, undefined where dmidecode is missing or may not read them. */
export function hostSmbios(): SmbiosInfo | undefined {
  const { status, stdout } = spawnSync('dmidecode', DMIDECODE_ARGS, {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'ignore']
  })
  return status === 0 ? parseDmidecode(stdout) : undefined
}
