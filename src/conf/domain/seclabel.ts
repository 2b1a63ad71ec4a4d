// <seclabel>: labels that security drivers give the guest. Without SELinux and AppArmor the first driver is `none`.
import { attr, childText, custom, type Fields, type ParseContext, parseFields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, yesNo } from '../scalar.ts'
import { childElements, element, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** VIR_SECURITY_MODEL_BUFLEN and VIR_SECURITY_LABEL_BUFLEN without the final NUL, in bytes */
const MODEL_MAX = 256
const LABEL_MAX = 4096
/** Model of a lone label that names none: the host's first. */
const DEFAULT_MODEL = 'none'

const seclabelTable = {
  model: attr('model', string),
  type: attr('type', enumOf('none', 'dynamic', 'static')),
  relabel: attr('relabel', yesNo),
  label: childText('label', string),
  imagelabel: childText('imagelabel', string),
  baselabel: childText('baselabel', string)
} satisfies Fields

export interface SeclabelDef {
  /** default: the user names no kind; it counts for nothing and is not written */
  type: 'default' | 'none' | 'dynamic' | 'static'
  /** the driver: dac, selinux, apparmor, none */
  model?: string
  /** files of the guest are relabelled to suit it */
  relabel: boolean
  label?: string
  /** label of the guest's files; running guests only */
  imagelabel?: string
  /** the label that a dynamic one is made from */
  baselabel?: string
  /** made by us, not asked for by the user */
  implicit?: true
}

const within = (text: string | undefined, max: number) =>
  text !== undefined && Buffer.byteLength(text) <= max ? text : undefined

/** virSecurityLabelDefParseXML */
function parseSeclabel(node: XmlElement, context: ParseContext): SeclabelDef {
  const given = parseFields(node, seclabelTable, context)
  const model = within(given.model, MODEL_MAX)
  const type = given.type ?? 'default'
  const relabel = given.relabel ?? (type === 'default' || type === 'dynamic')
  const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
  if (type === 'dynamic' && !relabel) throw unsupported('dynamic label type must use resource relabeling')
  if (type === 'none' && relabel) throw unsupported("resource relabeling is not compatible with 'none' label type")
  if (model === 'none') {
    if (!context.inactive && type !== 'none') throw unsupported(`unsupported type='${type}' to model 'none'`)
    return { type: 'none', model, relabel: false }
  }
  const live = !context.inactive && type !== 'none'
  const label = type === 'static' || live ? within(given.label, LABEL_MAX) : undefined
  if (type === 'static' && label === undefined) throw fail('VIR_ERR_XML_ERROR', 'security label is missing')
  // Differs from libvirt: our own live XML is taken back without labels, where no driver made any
  const imagelabel = relabel && live ? within(given.imagelabel, LABEL_MAX) : undefined
  const out: SeclabelDef = {
    type,
    ...(model !== undefined && { model }),
    relabel,
    ...(label !== undefined && { label }),
    ...(imagelabel !== undefined && { imagelabel })
  }
  const baselabel = type === 'dynamic' ? within(given.baselabel, LABEL_MAX) : undefined
  if (baselabel !== undefined) out.baselabel = baselabel
  return out
}

/** The model of labels that name none (virSecurityLabelDefsParseXML). */
function completeModels(labels: SeclabelDef[], context: ParseContext): void {
  const [only] = labels
  if (labels.length > 1 && labels.some(({ model }) => model === undefined)) {
    throw fail('VIR_ERR_XML_ERROR', 'missing security model when using multiple labels')
  }
  if (!only || labels.length > 1 || only.model !== undefined) return
  const isPlain = only.type === 'dynamic' && only.baselabel === undefined && context.inactive
  if (only.type !== 'none' && !isPlain) {
    throw fail('VIR_ERR_XML_ERROR', 'missing security model in domain seclabel')
  }
  only.model = DEFAULT_MODEL
  only.type = 'none'
  only.relabel = false
}

function formatSeclabel({ type, model, relabel, ...labels }: SeclabelDef): XmlElement {
  if (type === 'none') return element('seclabel', { type, model })
  const texts = {
    label: labels.label,
    imagelabel: relabel ? labels.imagelabel : undefined,
    baselabel: type === 'dynamic' ? labels.baselabel : undefined
  }
  const children = Object.entries(texts).flatMap(([name, text]) =>
    text === undefined ? [] : [element(name, {}, [text])]
  )
  return element('seclabel', { type, model, relabel: yesNo.format(relabel) }, children)
}

export const seclabelFields = {
  seclabels: custom<SeclabelDef[]>({
    names: [['seclabel', seclabelTable]],
    parse(node, context) {
      const labels: SeclabelDef[] = []
      for (const one of childElements(node, 'seclabel')) {
        const label = parseSeclabel(one, context)
        if (labels.some(({ model }) => model === label.model)) {
          throw fail('VIR_ERR_XML_DETAIL', `seclabel for model ${label.model ?? '(null)'} is already provided`)
        }
        labels.push(label)
      }
      completeModels(labels, context)
      return labels
    },
    format(values, into, context) {
      for (const label of values) {
        // Versions before 0.10.0 knew one label only, so ours are not sent there.
        const isOurs = label.implicit && (label.model === 'dac' || label.model === 'none')
        if (label.type !== 'default' && !(isOurs && context.migratable)) into.children.push(formatSeclabel(label))
      }
    }
  })
} satisfies Fields
