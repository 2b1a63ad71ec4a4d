// -m, the main memory object, -overcommit, and what -machine says of memory.
import { initialMemoryKiB } from '../../../conf/domain/memory.ts'
import { numaCells } from '../../../conf/domain/numa.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { addMemoryObject, machineMemory, memoryObject, memPath, usesMemPath } from '../device/memory/backend.ts'
import { keyValue, type Props } from '../parts/props.ts'
import type { Command } from './command.ts'

/** Without hotplug a size has always been whole half MiB; libvirt keeps to that in KiB. */
const toHalfMiB = (kib: number) => kib - (kib % 512)

/** The id of the machine's main memory object, if it has one. */
function memoryBackend({ def, qemu }: Command): string | undefined {
  return numaCells(def).length > 0 ? undefined : qemu.machine(def.os.machine!)?.defaultRamId
}

/** The size of memory, and its object unless NUMA cells have theirs (qemuBuildMemCommandLine). */
export function memoryArgs(command: Command): void {
  const { def } = command
  const initialKiB = initialMemoryKiB(def)
  const { maxMemory } = def
  command.add(
    '-m',
    maxMemory
      ? keyValue('', { size: `${initialKiB}k`, slots: maxMemory.slots || undefined, maxmem: `${maxMemory.sizeKiB}k` })
      : `size=${toHalfMiB(initialKiB)}k`
  )
  if (numaCells(def).length === 0) {
    for (const memory of machineMemory(command)) addMemoryObject(command, memoryObject(command, memory.alias, memory))
    if (usesMemPath(command)) memPathArgs(command)
  }
  command.add('-overcommit', `mem-lock=${def.memoryBacking?.locked ? 'on' : 'off'}`)
}

/** -mem-prealloc and -mem-path, for machines whose memory is no object (qemuBuildMemPathStr). */
export function memPathArgs(command: Command): void {
  const { prealloc, path } = memPath(command)
  if (prealloc) command.add('-mem-prealloc')
  if (path !== undefined) command.add('-mem-path', path)
}

/** The memory options of -machine, after dump-guest-core (qemuAppendDomainMemoryMachineParams). */
export function machineMemoryProps(command: Command): Props {
  const { def } = command
  return {
    'mem-merge': def.memoryBacking?.nosharepages ? false : undefined,
    nvdimm: def.devices.memories.some(({ model }) => model === 'nvdimm') || undefined,
    ...enclaveProps(def),
    'memory-backend': memoryBackend(command)
  }
}

/** SGX enclave memory is no device but a list of the machine's. */
function enclaveProps({ devices }: DomainDef): Props {
  return Object.fromEntries(
    devices.memories
      .filter(({ model }) => model === 'sgx-epc')
      .flatMap(({ alias, target }, i) => [
        [`sgx-epc.${i}.memdev`, `mem${alias}`],
        [`sgx-epc.${i}.node`, target.node ?? 0]
      ])
  )
}
