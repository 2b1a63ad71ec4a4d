// <shmem>: QEMU's defaults, checks and arguments.
import type { ShmemDef } from '../../../conf/devices/shmem.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { addressProps } from '../parts/address.ts'
import type { Builder, DeviceProps } from '../parts/builder.ts'
import { addChardev } from './chardev/backend.ts'
import { freely, joinOnce, leave, missing, type QemuFamily } from './family.ts'

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
  validate({ model, sizeBytes }, _def, { qemu }) {
    checkSize(sizeBytes)
    const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
    if (model === 'ivshmem') throw unsupported('ivshmem device is no longer supported')
    if (!qemu.has(model)) throw unsupported(`shmem model '${model}' is not supported by this QEMU binary`)
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
  },
  live: {
    attach: freely,
    detach: freely,
    noneToDetach: missing(({ model }) => `model '${model}' shmem device not present in domain configuration`)
  }
}

function checkSize(sizeBytes: bigint | undefined): void {
  if (sizeBytes === undefined) return
  const isPowerOf2 = (sizeBytes & (sizeBytes - 1n)) === 0n
  if (sizeBytes < MIB || !isPowerOf2) {
    throw fail('VIR_ERR_XML_ERROR', 'shmem size must be a power of 2 and at least 1 MiB (1024 KiB)')
  }
}

/** -device of one shared memory. */
function shmemProps(to: Builder, dev: ShmemDef): DeviceProps {
  const { model, alias, role, server, msi } = dev
  const master = role && !server ? (role === 'master' ? 'on' : 'off') : undefined
  return {
    driver: model,
    id: alias,
    chardev: server && `char${alias}`,
    memdev: server ? undefined : `shmmem-${alias}`,
    master,
    vectors: msi?.vectors,
    ioeventfd: msi?.ioeventfd,
    ...addressProps(to, dev)
  }
}

/** The device goes before the socket it uses: a command line's order does not matter, and it is libvirt's. */
function addShmem(to: Builder, dev: ShmemDef): void {
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
