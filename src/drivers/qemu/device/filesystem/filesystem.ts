// <filesystem>: QEMU's checks and arguments.
import { type FilesystemDef, isVirtiofs } from '../../../../conf/devices/filesystem.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { octal } from '../../../../conf/scalar.ts'
import type { QemuContext } from '../../context.ts'
import { addressProps, virtioProps } from '../../parts/address.ts'
import { atStart, type Builder } from '../../parts/builder.ts'
import { keyValue } from '../../parts/props.ts'
import { addChardev } from '../chardev/backend.ts'
import { joinOnce, leave, missing, type QemuFamily } from '../family.ts'
import { requireSharedMemory } from './shared-memory.ts'
import { prepareFilesystem, virtiofsd, virtiofsSocket } from './virtiofsd.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

export const qemuFilesystem: QemuFamily<FilesystemDef> = {
  validate: validateQemuFilesystem,
  prepare: prepareFilesystem,
  add(to, dev) {
    if (isVirtiofs(dev)) addVhostUserFs(to, dev)
    else if (dev.driver?.type === 'mtp') addMtp(to, dev)
    else add9p(to, dev)
  },
  host: virtiofsd,
  unplug: leave('filesystems'),
  config: {
    attach: joinOnce('filesystems', 'Target already exists'),
    noneToDetach: missing('no matching filesystem device was found')
  },
  live: { attach: checkPluggable, detach: checkPluggable, noneToDetach: missing('matching filesystem not found') }
}

function checkPluggable(dev: FilesystemDef): void {
  if (isVirtiofs(dev)) return
  throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'only virtiofs filesystems can be hotplugged')
}

/** libvirt's checks, in its order (qemuValidateDomainDeviceDefFS). */
function validateQemuFilesystem(dev: FilesystemDef, def: DomainDef, context: QemuContext): void {
  if (dev.type !== 'mount') throw unsupported('only supports mount filesystem type')
  if ((dev.spaceHardLimitBytes ?? dev.spaceSoftLimitBytes) !== undefined) {
    throw unsupported('filesystem usage limits are not supported with QEMU')
  }
  if (dev.multidevs !== undefined && !context.qemu.has('fsdev.multidevs')) {
    throw unsupported('multidevs is not supported with this QEMU binary')
  }
  if ((dev.fmode ?? dev.dmode) !== undefined && dev.accessmode !== 'mapped') {
    throw unsupported('fmode and dmode must be used with accessmode=mapped')
  }
  switch (dev.driver?.type) {
    case 'handle':
      if (dev.accessmode !== 'passthrough') throw unsupported('only supports passthrough accessmode')
      break
    case 'loop':
    case 'nbd':
    case 'ploop':
      throw unsupported('Filesystem driver type not supported')
    case 'virtiofs':
      validateVirtiofs(dev, def, context)
      break
    case 'mtp':
      if (!context.qemu.has('usb-mtp')) throw unsupported('mtp is not supported with this QEMU binary')
      if (dev.accessmode !== 'passthrough') throw unsupported('mtp only supports passthrough accessmode')
  }
}

function validateVirtiofs(dev: FilesystemDef, def: DomainDef, { qemu }: QemuContext): void {
  if (dev.source?.socket === undefined) {
    if (dev.accessmode !== 'passthrough') throw unsupported('virtiofs only supports passthrough accessmode')
    if (dev.driver?.wrpolicy !== undefined) throw unsupported('virtiofs does not support wrpolicy')
  }
  if (dev.model !== undefined) throw unsupported('virtiofs does not support model')
  if (dev.driver?.format !== undefined) throw unsupported('virtiofs does not support format')
  if (!qemu.has('vhost-user-fs')) throw unsupported('virtiofs is not supported with this QEMU binary')
  if (dev.multidevs !== undefined) throw unsupported('virtiofs does not support multidevs')
  if ((dev.fmode ?? dev.dmode) !== undefined) throw unsupported('virtiofs does not support fmode and dmode')
  requireSharedMemory(def, 'virtiofs')
  if (!dev.boot) return
  if (!qemu.has('vhost-user-fs.bootindex')) {
    throw unsupported('setting virtiofs boot order is not supported with this QEMU binary')
  }
  if (dev.address !== undefined && dev.address.type !== 'pci') {
    throw unsupported('setting virtiofs boot order is supported only with PCI bus')
  }
}

function addVhostUserFs(to: Builder, dev: FilesystemDef): void {
  const chardev = `chr-vu-${dev.alias}`
  addChardev(to, { type: 'unix', mode: 'connect', path: virtiofsSocket(dev, to.context.paths) }, chardev)
  to.device({
    ...virtioProps('vhost-user-fs', undefined, dev.address, dev.driver),
    id: dev.alias,
    chardev,
    'queue-size': dev.driver?.queue,
    tag: dev.target,
    bootindex: dev.boot?.order,
    ...addressProps(to, dev)
  })
}

/** A directory that the guest sees as a media player on USB. */
function addMtp(to: Builder, dev: FilesystemDef): void {
  to.device({
    driver: 'usb-mtp',
    id: dev.alias,
    rootdir: dev.source?.path,
    desc: dev.target,
    readonly: dev.readonly ?? false,
    ...addressProps(to, dev)
  })
}

const SECURITY_MODEL = { passthrough: 'passthrough', mapped: 'mapped', squash: 'none' } as const

/** qemuBuildFSStr: the host's end. */
function fsdevArg(dev: FilesystemDef): string {
  const { accessmode, driver } = dev
  const local =
    driver?.type === 'handle'
      ? {}
      : {
          security_model: accessmode && SECURITY_MODEL[accessmode],
          multidevs: dev.multidevs,
          fmode: dev.fmode && octal.format(dev.fmode),
          dmode: dev.dmode && octal.format(dev.dmode)
        }
  return keyValue(driver?.type === 'handle' ? 'handle' : 'local', {
    ...local,
    writeout: driver?.wrpolicy,
    id: `fsdev-${dev.alias}`,
    path: dev.source?.path ?? '',
    readonly: dev.readonly
  })
}

function add9p(to: Builder, dev: FilesystemDef): void {
  atStart(to, '9p filesystem').add('-fsdev', fsdevArg(dev))
  to.device({
    ...virtioProps('virtio-9p', dev.model, dev.address, dev.driver),
    id: dev.alias,
    fsdev: `fsdev-${dev.alias}`,
    mount_tag: dev.target,
    ...addressProps(to, dev)
  })
}
