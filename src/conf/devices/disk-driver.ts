// <driver> of a disk: settings the hypervisor serves it by (virDomainDiskDefDriverParseXML).
import {
  absentIf,
  attr,
  attrOr,
  type Def,
  type Field,
  type Fields,
  formatFields,
  nonZero,
  parseFields,
  readFirst,
  readLast
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff, type Scalar, string, uint } from '../scalar.ts'
import { metadataCache } from '../storage/chain.ts'
import { type StorageFormat, type StorageSource, storageFormat } from '../storage/source.ts'
import { firstChild } from '../xml.ts'
import { virtioDriver } from './device-info.ts'
import { diskStatistics } from './disk-statistics.ts'
import { iothreadMapping } from './iothread-mapping.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const policy = enumOf('stop', 'report', 'ignore', 'enospace')

/** Xen's 'aio' means raw. */
const driverFormat: Scalar<StorageFormat> = {
  ...storageFormat,
  parse: text => (text === 'aio' ? 'raw' : storageFormat.parse(text))
}

/** Layout of the image: kept with the source, told in `<driver>`. */
export const layoutFields = {
  format: attrOr('type', driverFormat, text =>
    fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown driver format value '${text}'`)
  ),
  metadataCacheMaxSize: metadataCache
} satisfies Fields

const rerrorPolicy = attr('rerror_policy', policy)

const driverFields = {
  name: attr('name', string),
  format: layoutFields.format,
  cache: absentIf(
    'default',
    attr('cache', enumOf('default', 'none', 'writethrough', 'writeback', 'directsync', 'unsafe'))
  ),
  errorPolicy: attr('error_policy', policy),
  rerrorPolicy: {
    ...rerrorPolicy,
    parse(node, context) {
      const value = rerrorPolicy.parse(node, context)
      if (value === 'enospace') throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Invalid disk read error policy: '${value}'`)
      return value
    }
  } satisfies Field<(typeof policy.values)[number] | undefined>,
  io: attr('io', enumOf('native', 'threads', 'io_uring')),
  ioeventfd: attr('ioeventfd', onOff),
  eventIdx: attr('event_idx', onOff),
  copyOnRead: attr('copy_on_read', onOff),
  discard: attr('discard', enumOf('unmap', 'ignore')),
  /** id of the I/O thread that serves it */
  iothread: nonZero(attr('iothread', uint)),
  detectZeroes: attr('detect_zeroes', enumOf('off', 'on', 'unmap')),
  /** clusters the guest discards stay its image's own, so that it does not fragment */
  discardNoUnref: attr('discard_no_unref', onOff),
  queues: absentIf(0, attr('queues', uint)),
  queueSize: absentIf(0, attr('queue_size', uint)),
  ...virtioDriver,
  metadataCacheMaxSize: layoutFields.metadataCacheMaxSize,
  iothreads: iothreadMapping,
  statistics: diskStatistics
} satisfies Fields

/** virDomainDiskDefDriverParseXML and, for the image, virDomainDiskDefDriverSourceParseXML */
const driverAsRead = readLast(
  readFirst(driverFields, ...(Object.keys(virtioDriver) as (keyof typeof virtioDriver)[])),
  'iothreads',
  'detectZeroes',
  'queues',
  'queueSize',
  'discardNoUnref',
  'format',
  'metadataCacheMaxSize',
  'statistics'
)

export type DiskDriver = Omit<Def<typeof driverFields>, keyof typeof layoutFields>
export type DiskCache = NonNullable<DiskDriver['cache']>

/** `<driver>`; its part about the image goes to and comes from the disk's source. */
export const diskDriver: Field<DiskDriver> = {
  names: [['driver', driverFields]],
  parse(node, context) {
    const found = firstChild(node, 'driver')
    if (!found) return {}
    const { format, metadataCacheMaxSize, ...driver } = parseFields(found, driverAsRead, context)
    return driver
  },
  format(value, into, context, def) {
    const { format, metadataCacheMaxSize } = (def as { source: StorageSource }).source
    const node = formatFields('driver', { ...value, format, metadataCacheMaxSize }, driverFields, context)
    if (Object.keys(node.attributes).length + node.children.length > 0) into.children.push(node)
  }
}
