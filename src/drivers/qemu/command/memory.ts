// -m, the main memory object, -overcommit
import type { Command } from './command.ts'
import { memoryBackend } from './machine.ts'

const KIB_PER_MIB = 1024

export function memoryArgs(command: Command): void {
  const { def } = command
  const sizeMiB = Math.ceil(def.memoryKiB / KIB_PER_MIB)
  const { maxMemory } = def
  command.add(
    '-m',
    maxMemory ? `size=${sizeMiB * KIB_PER_MIB}k,slots=${maxMemory.slots},maxmem=${maxMemory.sizeKiB}k` : String(sizeMiB)
  )
  const id = memoryBackend(command)
  if (id !== undefined) {
    const share = def.memoryBacking?.access === 'shared' ? true : undefined
    const size = sizeMiB * KIB_PER_MIB * 1024
    command.object({
      'qom-type': def.memoryBacking?.source === 'memfd' ? 'memory-backend-memfd' : 'memory-backend-ram',
      id,
      share,
      size
    })
  }
  command.add('-overcommit', `mem-lock=${def.memoryBacking?.locked ? 'on' : 'off'}`)
}

export function memoryDevicesArgs(_command: Command): void {}
