// UEFI in flash: the images of code and variables, which -machine names.
import { usesPflash } from '../../../conf/domain/os-firmware.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import type { Command, Props } from './command.ts'
import { storageProps } from './disk.ts'

const node = (unit: 0 | 1) => `libvirt-pflash${unit}`

function flashImage(command: Command, unit: 0 | 1, storage: Props & { driver: string }, readonly: boolean): void {
  command.blockdev({ ...storage, 'node-name': `${node(unit)}-storage`, 'auto-read-only': true, discard: 'unmap' })
  command.blockdev({
    'node-name': `${node(unit)}-format`,
    'read-only': readonly,
    driver: 'raw',
    file: `${node(unit)}-storage`
  })
}

export function pflashArgs(command: Command): void {
  const { loader } = command.def.os
  if (!usesPflash(command.def) || !loader) return
  flashImage(command, 0, { driver: 'file', filename: loader.path }, loader.readonly ?? false)
  if (loader.nvram) flashImage(command, 1, storageProps(loader.nvram.source), false)
}

/** Options of -machine for the flash images. */
export function pflashMachineProps(def: DomainDef): Props {
  if (!usesPflash(def)) return {}
  return { pflash0: `${node(0)}-format`, pflash1: def.os.loader?.nvram && `${node(1)}-format` }
}
