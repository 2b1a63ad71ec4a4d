// <domaincheckpoint>: a point in time from which on changed blocks are known (virDomainCheckpointDef).
import type { DiskDef } from '../devices/disk.ts'
import { checkNames } from '../domain-xml.ts'
import { claim } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { isStorageEmpty } from '../storage/source.ts'
import { element, firstChild, formatXml, parseXml, type XmlElement } from '../xml.ts'
import {
  formatMoment,
  formatMomentDomain,
  type MomentDef,
  type MomentParseOptions,
  matchDisks,
  momentDisks,
  parseMoment,
  parseMomentDomain
} from './moment.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN_CHECKPOINT')
const invalid = (message: string) => fail('VIR_ERR_XML_INVALID_SCHEMA', message)

export interface CheckpointDisk {
  /** target of the domain's disk */
  name: string
  checkpoint: 'no' | 'bitmap'
  /** the bitmap of changed blocks in the image */
  bitmap?: string
  /** bytes changed since, where somebody asked */
  sizeBytes?: bigint
}

export interface CheckpointDef extends MomentDef {
  disks: CheckpointDisk[]
}

const checkpointNames = {
  moment: claim(['name', null], ['description', null], ['creationTime', null], ['parent', null], ['domain', null]),
  disks: claim(['disks', { disk: claim(['disk', { disk: claim('@name', '@checkpoint', '@bitmap', '@size') }]) }])
}

function parseDisk({ attributes: { name, checkpoint = 'bitmap', bitmap } }: XmlElement): CheckpointDisk {
  if (name === undefined) throw invalid("Element disk failed to validate attributes: 'name' is missing")
  if (checkpoint !== 'no' && checkpoint !== 'bitmap')
    throw invalid(`Invalid value '${checkpoint}' of attribute 'checkpoint' in element 'disk'`)
  return { name, checkpoint, ...(bitmap !== undefined && { bitmap }) }
}

/** Names are those of files. */
const NAME = /^[\w-][\w.-]*$/

/**
 * Reads `<domaincheckpoint>` (virDomainCheckpointDefParseString), always strictly, as libvirt does.
 * @throws VIR_ERR_XML_DETAIL, VIR_ERR_XML_INVALID_SCHEMA, VIR_ERR_XML_ERROR, VIR_ERR_INTERNAL_ERROR
 */
export function parseCheckpoint(text: string, options: MomentParseOptions = {}): CheckpointDef {
  const root = parseXml(text, '(domain_checkpoint)')
  if (root.name !== 'domaincheckpoint')
    throw fail('VIR_ERR_XML_ERROR', `expecting root element of 'domaincheckpoint', not '${root.name}'`)
  checkNames(root, checkpointNames, 'domaincheckpoint.rng')
  const moment = parseMoment(root, 'checkpoint', options)
  const { name, parentName = name } = moment
  for (const one of [name, parentName])
    if (!NAME.test(one))
      throw invalid(`Unable to validate doc against domaincheckpoint.rng\nname '${one}' is not known`)
  const domain = options.redefine ? firstChild(root, 'domain') : undefined
  const dom = domain && parseMomentDomain(domain, options)
  return { ...moment, ...(dom && { dom }), disks: momentDisks(root).map(parseDisk) }
}

export interface CheckpointFormatOptions {
  secure?: boolean
  /** leave the domain out (VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN) */
  noDomain?: boolean
  /** tell how much has changed (VIR_DOMAIN_CHECKPOINT_XML_SIZE) */
  size?: boolean
}

/** Writes `<domaincheckpoint>` (virDomainCheckpointDefFormat). */
export function formatCheckpoint(def: CheckpointDef, options: CheckpointFormatOptions = {}): string {
  const { secure = false, noDomain = false, size = false } = options
  const disks = def.disks.map(({ name, checkpoint, bitmap, sizeBytes }) =>
    element('disk', { name, checkpoint, bitmap, size: size && bitmap !== undefined ? sizeBytes : undefined })
  )
  return formatXml(
    element('domaincheckpoint', {}, [
      ...formatMoment(def),
      disks.length > 0 ? element('disks', {}, disks) : undefined,
      def.dom && !noDomain ? formatMomentDomain(def.dom, secure) : undefined
    ])
  )
}

/** Disks that cannot change have nothing to keep track of. */
const isFixed = ({ source, readonly }: DiskDef) => isStorageEmpty(source) || readonly === true

/** Bitmaps without a name get the checkpoint's (virDomainCheckpointDefAssignBitmapNames). */
export function nameBitmaps({ disks, name }: CheckpointDef): void {
  for (const disk of disks) if (disk.checkpoint === 'bitmap') disk.bitmap ??= name
}

/**
 * Makes the list of disks that of the domain: without any, all that can be written take part, else only those named
 * (virDomainCheckpointAlignDisks).
 * @throws VIR_ERR_CONFIG_UNSUPPORTED
 */
export function alignCheckpointDisks(def: CheckpointDef): void {
  const { dom } = def
  const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
  if (!dom) throw fail('VIR_ERR_INTERNAL_ERROR', 'missing domain in checkpoint')
  const fallback = def.disks.length === 0 ? 'bitmap' : 'no'
  const wanted = matchDisks(def.disks, dom, 'checkpoint', (one, disk) => {
    if (isFixed(disk) && one.checkpoint !== 'no') throw unsupported(`disk '${one.name}' is empty or readonly`)
  })
  if (dom.devices.disks.length === 0) throw unsupported('domain must have at least one disk to perform checkpoints')
  def.disks = dom.devices.disks.map(disk => {
    const name = disk.target?.dev ?? ''
    return wanted.get(name) ?? { name, checkpoint: isFixed(disk) ? 'no' : fallback }
  })
  nameBitmaps(def)
}
