// UEFI in flash: the images of code and variables, which -machine names.
import { usesPflash } from '../../../conf/domain/os-firmware.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { isLocalStorage, type StorageSource } from '../../../conf/storage/source.ts'
import { storageIds } from '../block/node-names.ts'
import { addStorage, effectiveNode } from '../block/nodes.ts'
import type { Props } from '../parts/props.ts'
import type { Command } from './command.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const node = (unit: 0 | 1) => `libvirt-pflash${unit}`

/** An image as QEMU gets it: on nothing else, which qcow2 is told. */
const alone = (source: StorageSource): StorageSource => ({ ...source, backingStore: { type: 'none' } })

function flashImage(command: Command, unit: 0 | 1, source: StorageSource, readOnly: boolean): void {
  if (isLocalStorage(source) && source.path === undefined)
    throw fail('VIR_ERR_INTERNAL_ERROR', "argument key 'filename' must not have null value")
  const image = alone(source)
  // the code always has both nodes (qemuDomainInitializePflashStorageSource)
  addStorage(command, image, { readOnly }, storageIds(image, node(unit)), unit === 0 || undefined)
}

/** Block nodes of the images, if the firmware is in flash (qemuBuildPflashBlockdevCommandLine). */
export function pflashArgs(command: Command): void {
  const { loader } = command.def.os
  if (!usesPflash(command.def) || !loader) return
  const { path, format } = loader
  flashImage(command, 0, { type: 'file', path, ...(format && { format }) }, loader.readonly ?? false)
  if (loader.nvram) flashImage(command, 1, loader.nvram.source, false)
}

/** Options of -machine for the flash images. */
export function pflashMachineProps({ def, qemu }: Command): Props {
  const { loader } = def.os
  if (!usesPflash(def) || !loader) return {}
  const variables = loader.nvram?.source
  return {
    pflash0: `${node(0)}-format`,
    pflash1: variables && effectiveNode(variables, qemu, storageIds(variables, node(1)))
  }
}
