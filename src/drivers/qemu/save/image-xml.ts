// The definition in a save image: shown, and changed in place.
import { closeSync, fsyncSync } from 'node:fs'
import { formatDomain } from '../../../conf/domain-xml.ts'
import { virDomainSaveImageXMLFlags, virDomainSaveRestoreFlags } from '../../../conf/enums.ts'
import { formatMigratable } from '../definition/migratable.ts'
import type { ContextFor } from '../definition/passes.ts'
import { formatImage, openFile, writeAll } from './image.ts'
import { loadImage, updateDef } from './restore.ts'

const { VIR_DOMAIN_SAVE_IMAGE_XML_SECURE } = virDomainSaveImageXMLFlags
const { VIR_DOMAIN_SAVE_RUNNING, VIR_DOMAIN_SAVE_PAUSED } = virDomainSaveRestoreFlags

/** The XML in an image (qemuDomainSaveImageGetXMLDesc). @throws as loadImage @param bits virDomainSaveImageXMLFlags */
export async function imageXmlOf(path: string, contextFor: ContextFor, bits: number): Promise<string> {
  const { def } = await loadImage(path, contextFor)
  return formatDomain(def, { inactive: false, secure: (bits & VIR_DOMAIN_SAVE_IMAGE_XML_SECURE) !== 0 })
}

/**
 * Gives an image another definition with which its memory can go on, and says whether it is to run then
 * (qemuDomainSaveImageDefineXML).
 * @param bits virDomainSaveRestoreFlags
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for a definition its memory does not fit, VIR_ERR_OPERATION_FAILED for one that is
 *   too long, and as loadImage
 */
export async function defineImageXml(path: string, contextFor: ContextFor, xml: string, bits: number): Promise<void> {
  const loaded = await loadImage(path, contextFor)
  const { image } = loaded
  const asked = (bits & VIR_DOMAIN_SAVE_RUNNING) !== 0 || ((bits & VIR_DOMAIN_SAVE_PAUSED) === 0 && image.running)
  const running = asked
  if (image.xml === xml && running === image.running) return
  const { def, context } = await updateDef(loaded, xml, contextFor)
  const changed = { ...image, running, xml: formatMigratable(def, context) }
  const fd = openFile(path, { write: true })
  try {
    const bytes = formatImage(changed, { whole: true, length: image.length })
    writeAll(fd, bytes, `failed to write header to domain save file '${path}'`)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
