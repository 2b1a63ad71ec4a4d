// <shmem>: QEMU's defaults, checks and arguments.
import type { ShmemDef } from '../../../conf/devices/shmem.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { addressProps } from '../parts/address.ts'
import type { Builder, DeviceProps } from '../parts/builder.ts'
import { addChardev } from './chardev/backend.ts'
import { joinOnce, leave, missing, type QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const MIB = 1024n ** 2n
const DEFAULT_SIZE = 4n * MIB

export const qemuShmem: QemuFamily<ShmemDef> = {
  postParse(dev) {
    const { model, server } = dev
    if (model !== 'ivshmem-doorbell') dev.sizeBytes ??= DEFAULT_SIZE
    if (model === 'ivshmem') return
    const refuse = (what: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', `shmem model '${model}' ${what}`)
    if (!server) {
      if (model === 'ivshmem-doorbell') throw refuse('is supported only with server option enabled')
      return
    }
    if (model === 'ivshmem-plain') throw refuse('is supported only with server option disabled')
    if (dev.sizeBytes !== undefined) throw refuse('does not support size setting')
    dev.msi = { ...dev.msi, ioeventfd: dev.msi?.ioeventfd ?? true }
  },
  validate({ model }, _def, { qemu }) {
    if (qemu.has(model)) return
    const what =
      model === 'ivshmem' ? 'ivshmem device is not supported with' : `shmem model '${model}' is not supported by`
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `${what} this QEMU binary`)
  },
  // the socket of a server nobody gave a path (qemuDomainPrepareShmemChardev)
  prepare({ name, server }) {
    if (server) server.path ??= `/var/lib/libvirt/shmem-${name}-sock`
  },
  add: addShmem,
  unplug: leave('shmems'),
  config: {
    attach: joinOnce('shmems', 'device is already in the domain configuration'),
    noneToDetach: missing('matching shmem device was not found')
  }
}

function checkSize(sizeBytes: bigint | undefined): void {
  if (sizeBytes === undefined) return
  if ((sizeBytes & (sizeBytes - 1n)) !== 0n) throw fail('VIR_ERR_XML_ERROR', 'shmem size must be a power of two')
  if (sizeBytes < MIB) throw fail('VIR_ERR_XML_ERROR', 'shmem size must be at least 1 MiB (1024 KiB)')
}

/** -device of one shared memory, of the model QEMU dropped in 4.0 or of those that came after it. */
function shmemProps(to: Builder, dev: ShmemDef): DeviceProps {
  const { model, alias, name, role, server, msi, sizeBytes = 0n } = dev
  const common = {
    vectors: msi?.vectors,
    ioeventfd: msi?.ioeventfd,
    ...addressProps(to, dev)
  }
  const chardev = server && `char${alias}`
  if (model === 'ivshmem') {
    const size = `${sizeBytes / MIB}m`
    return { driver: model, id: alias, size, shm: server ? undefined : name, chardev, msi: msi && true, ...common }
  }
  const master = role && !server ? (role === 'master' ? 'on' : 'off') : undefined
  return { driver: model, id: alias, chardev, memdev: server ? undefined : `shmmem-${alias}`, master, ...common }
}

/** The device goes before the socket it uses: a command line's order does not matter, and it is libvirt's. */
function addShmem(to: Builder, dev: ShmemDef): void {
  checkSize(dev.sizeBytes)
  if (dev.address?.type !== 'pci') {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "only 'pci' addresses are supported for the shared memory device")
  }
  if (dev.model === 'ivshmem-plain') {
    to.object({
      'qom-type': 'memory-backend-file',
      id: `shmmem-${dev.alias}`,
      'mem-path': `/dev/shm/${dev.name}`,
      size: dev.sizeBytes,
      share: true
    })
  }
  to.device(shmemProps(to, dev))
  if (dev.server) addChardev(to, { type: 'unix', mode: 'connect', path: dev.server.path }, `char${dev.alias}`)
}
