// -m, the main memory object, -overcommit, and what -machine says of memory.
import { initialMemoryKiB } from '../../../conf/domain/memory.ts'
import { numaCells } from '../../../conf/domain/numa.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { systemPageKiB } from '../../../host/memory.ts'
import { addMemoryObject, defaultHugepageKiB, filePath, hugepagePath, memoryObject } from '../device/memory/backend.ts'
import type { Props } from '../parts/props.ts'
import type { Command } from './command.ts'

const KIB_PER_MIB = 1024

/** The id of the machine's main memory object, if it has one. */
export function memoryBackend({ def, qemu }: Command): string | undefined {
  return numaCells(def).length > 0 ? undefined : qemu.machine(def.os.machine!)?.defaultRamId
}

export function memoryArgs(command: Command): void {
  const { def } = command
  const initialKiB = initialMemoryKiB(def)
  const { maxMemory } = def
  command.add(
    '-m',
    maxMemory
      ? `size=${initialKiB}k,slots=${maxMemory.slots},maxmem=${maxMemory.sizeKiB}k`
      : String(Math.floor(initialKiB / KIB_PER_MIB))
  )
  const id = memoryBackend(command)
  if (id !== undefined) {
    const memory = { alias: id, sizeKiB: initialKiB, isSystem: true }
    addMemoryObject(command, memoryObject(command, id, memory).object)
  } else if (numaCells(def).length === 0) memPathArgs(command)
  command.add('-overcommit', `mem-lock=${def.memoryBacking?.locked ? 'on' : 'off'}`)
}

/** -mem-prealloc and -mem-path, for machines whose memory is no object (qemuBuildMemPathStr). */
export function memPathArgs(command: Command): void {
  const { def } = command
  const { hugepages, source, allocation } = def.memoryBacking ?? {}
  let path: string | undefined
  const sizeKiB = hugepages?.[0]?.sizeKiB
  const huge = hugepages !== undefined && sizeKiB !== systemPageKiB()
  if (huge) path = hugepagePath(command, sizeKiB ?? defaultHugepageKiB())
  else if (source === 'file') path = filePath(command, { alias: 'ram' })
  if ((huge || allocation?.mode === 'immediate') && !command.memPrealloc) {
    command.add('-mem-prealloc')
    command.memPrealloc = true
  }
  if (path !== undefined) command.add('-mem-path', path)
}

/** What -machine says of memory, after dump-guest-core (qemuAppendDomainMemoryMachineParams). */
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
