// <filesystem>: directories of the host that the guest mounts, by 9p or virtiofs.
import { type IdmapDef, idmap } from '../domain/idmap.ts'
import {
  attr,
  attrUnless,
  child,
  childAttrText,
  custom,
  type Def,
  type Field,
  type Fields,
  flag,
  formatFields,
  readFirst,
  readLast,
  withDefault
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, octal, string, ulonglong, ulonglongWrapping } from '../scalar.ts'
import { childAmount, scaledValue } from '../scaled.ts'
import { storageFormat } from '../storage/source.ts'
import { element } from '../xml.ts'
import { deviceBoot, deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'
import { filesystemBinary, isVirtiofsElement } from './filesystem-binary.ts'
import { filesystemSource, filesystemType } from './filesystem-source.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Permissions of new files or directories. */
function mode(name: 'fmode' | 'dmode'): Field<number | undefined> {
  return {
    ...attr(name, octal),
    parse(node, context) {
      const value = attr(name, octal).parse(node, context)
      if (value !== undefined && value > 0o777) {
        throw fail('VIR_ERR_XML_ERROR', `invalid ${name}: '0${value.toString(8)}'`)
      }
      return value || undefined
    }
  }
}

/** Attributes of `<driver>` that are written only where its type is named. */
const driver = {
  type: attrUnless('type', 'default', enumOf('path', 'handle', 'loop', 'nbd', 'ploop', 'virtiofs', 'mtp')),
  format: custom<string | undefined>({
    ...attr('format', string),
    parse(node) {
      const { format } = node.attributes
      if (format !== undefined && storageFormat.parse(format) === undefined) {
        throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown driver format value '${format}'`)
      }
      return format
    }
  }),
  wrpolicy: attrUnless('wrpolicy', 'default', enumOf('immediate')),
  /** descriptors of the request queue; virtiofs only */
  queue: custom<bigint | undefined>({
    ...attr('queue', ulonglong),
    parse(node) {
      const text = node.attributes.type === 'virtiofs' ? node.attributes.queue : undefined
      const size = text ? ulonglongWrapping.parse(text) : 0n
      if (size === undefined) throw fail('VIR_ERR_XML_ERROR', `cannot parse queue size '${text}' for virtiofs`)
      return size || undefined
    }
  }),
  ...virtioDriver
} satisfies Fields
type Driver = Def<typeof driver>

const driverElement: Field<Driver | undefined> = {
  ...child('driver', driver, readLast(driver, 'format', 'iommu', 'ats', 'packed', 'pagePerVq', 'queue')),
  format(value, into, context) {
    if (!value) return
    const node = formatFields('driver', value.type === undefined ? virtioOnly(value) : value, driver, context)
    if (Object.keys(node.attributes).length > 0) into.children.push(node)
  }
}

const virtioOnly = ({ iommu, ats, packed, pagePerVq }: Driver): Driver => ({ iommu, ats, packed, pagePerVq })

/** A limit of space, in bytes; zero is none. */
function limit(name: string): Field<bigint | undefined> {
  return {
    names: [[name, { unit: attr('unit', string) }]],
    parse: node => scaledValue(childAmount(node, name, `./${name}[1]`), 1n) || undefined,
    format(value, into) {
      if (value !== undefined) into.children.push(element(name, { unit: 'bytes' }, [String(value)]))
    }
  }
}

/** Read for virtiofs only, and written where it has users. */
const owners: Field<IdmapDef | undefined> = {
  ...idmap,
  parse: (node, context) => (isVirtiofsElement(node) ? idmap.parse(node, context) : undefined),
  format(value, into, context) {
    if (value?.uids) idmap.format(value, into, context)
  }
}

export const filesystemFields = {
  type: withDefault(attr('type', filesystemType), 'mount'),
  accessmode: attrUnless('accessmode', '', enumOf('passthrough', 'mapped', 'squash')),
  model: attr('model', enumOf('virtio', 'virtio-transitional', 'virtio-non-transitional')),
  /** the treatment of files of several devices in the directory */
  multidevs: attrUnless('multidevs', 'default', enumOf('remap', 'forbid', 'warn')),
  fmode: mode('fmode'),
  dmode: mode('dmode'),
  driver: driverElement,
  binary: filesystemBinary,
  idmap: owners,
  source: filesystemSource,
  /** the tag the guest mounts it by */
  target: childAttrText('target', 'dir'),
  readonly: flag('readonly'),
  ...deviceBoot,
  ...deviceInfo,
  spaceHardLimitBytes: limit('space_hard_limit'),
  spaceSoftLimitBytes: limit('space_soft_limit')
} satisfies Fields
export type FilesystemDef = Def<typeof filesystemFields>

export const filesystem = deviceFamily({
  element: 'filesystem',
  fields: filesystemFields,
  asRead: readFirst(
    filesystemFields,
    'type',
    'accessmode',
    'fmode',
    'dmode',
    'model',
    'multidevs',
    'spaceHardLimitBytes',
    'spaceSoftLimitBytes',
    'driver',
    'binary',
    'idmap',
    'source'
  ),
  postParse(dev) {
    if (dev.source?.socket === undefined) dev.accessmode ??= 'passthrough'
  },
  validate(dev) {
    if (dev.target === undefined) throw fail('VIR_ERR_NO_TARGET', dev.source?.path ?? dev.source?.socket)
    if (dev.boot && dev.driver?.type !== 'virtiofs') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'boot order is only supported for virtiofs')
    }
  },
  // virDomainFSIndexByName
  same: (wanted, there) => wanted.target === there.target,
  isUsb: ({ driver }) => driver?.type === 'mtp'
})

/** Two virtiofs mounts cannot have the same tag (virDomainDefFSValidate). */
export function validateFilesystems({ filesystems }: { filesystems: FilesystemDef[] }): void {
  const seen = new Set<string | undefined>()
  for (const { driver, target } of filesystems) {
    if (driver?.type !== 'virtiofs') continue
    if (seen.has(target)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `filesystem target '${target}' specified twice`)
    }
    seen.add(target)
  }
}

/** True where the element's driver is virtiofs. */
export const isVirtiofs = (dev: FilesystemDef): boolean => dev.driver?.type === 'virtiofs'
