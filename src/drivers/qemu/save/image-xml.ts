// The definition in a save image: shown, and changed in place.
import { formatDomain } from '../../../conf/domain-xml.ts'
import { virDomainSaveImageXMLFlags } from '../../../conf/enums.ts'
import { formatMigratable } from '../definition/migratable.ts'
import type { ContextFor } from '../definition/passes.ts'
import { loadUpdated } from '../definition/stability.ts'
import { formatImage, rewriteImage } from './image.ts'
import { loadImage } from './restore.ts'
import { runsAfter } from './save.ts'

const { VIR_DOMAIN_SAVE_IMAGE_XML_SECURE } = virDomainSaveImageXMLFlags

/** The XML in an image (qemuDomainSaveImageGetXMLDesc). @throws as loadImage @param bits virDomainSaveImageXMLFlags */
export async function imageXmlOf(path: string, contextFor: ContextFor, bits: number): Promise<string> {
  const { def } = await loadImage(path, contextFor)
  return formatDomain(def, { inactive: false, secure: (bits & VIR_DOMAIN_SAVE_IMAGE_XML_SECURE) !== 0 })
}

/**
 * Gives an image another definition with which its memory can go on, and says whether it is to run then
 * (qemuDomainSaveImageDefineXML). It has the one or the other whenever this process ends, see rewriteImage.
 * @param bits virDomainSaveRestoreFlags
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for a definition its memory does not fit, VIR_ERR_OPERATION_FAILED for one that is
 *   too long, and as loadImage
 */
export async function defineImageXml(path: string, contextFor: ContextFor, xml: string, bits: number): Promise<void> {
  const loaded = await loadImage(path, contextFor)
  const { image } = loaded
  const running = runsAfter(bits, image.running)
  if (image.xml === xml && running === image.running) return
  const { def, context } = await loadUpdated(loaded.def, xml, contextFor)
  const changed = { ...image, running, xml: formatMigratable(def, context) }
  rewriteImage(path, formatImage(changed, { whole: true, length: image.length }))
}
