// <tpm>: the host's TPM, an emulated one, or one somebody else runs.
import {
  attr,
  childAttr,
  custom,
  type Def,
  type Field,
  type Fields,
  type ParseContext,
  parseAttribute,
  required
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, uint, uuid, yesNo } from '../scalar.ts'
import { childElements, element, firstChild, type XmlElement } from '../xml.ts'
import { type ChardevSource, isChardevType, parseChardevSource } from './chardev-source.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const version = enumOf('1.2', '2.0')
const pcrBank = enumOf('sha1', 'sha256', 'sha384', 'sha512')
export type TpmVersion = (typeof version.values)[number]
export type PcrBank = (typeof pcrBank.values)[number]

const sourceType = enumOf('file', 'dir')
export interface TpmStateSource {
  type: (typeof sourceType.values)[number]
  path: string
}

const removeDisabled = enumOf('check', 'fips-host')
/** The set of algorithms and commands a new TPM has. */
export interface TpmProfile {
  /** name of the profile it is made from */
  source?: string
  /** algorithms the host's crypto policy forbids are taken out */
  removeDisabled?: (typeof removeDisabled.values)[number]
  /** swtpm's name of the one it has, told when it was made */
  name?: string
}

export interface TpmEmulator {
  type: 'emulator'
  /** absent until QEMU's driver chooses by model */
  version?: TpmVersion
  /** the state stays when a transient domain goes */
  persistentState?: true
  /** uuid of the secret its state is encrypted with */
  secret?: string
  /** how much swtpm writes to its log, from 1 on */
  debug?: number
  /** where its state is kept, if not where the driver chooses */
  source?: TpmStateSource
  /** in libvirt's order */
  pcrBanks?: PcrBank[]
  profile?: TpmProfile
}
export type TpmBackend =
  | { type: 'passthrough'; path: string }
  | TpmEmulator
  | { type: 'external'; source: ChardevSource }

const DEFAULT_DEVICE = '/dev/tpm0'
const backendType = required(attr('type', enumOf('passthrough', 'emulator', 'external')))

function parseEmulator(node: XmlElement): TpmEmulator {
  const chosen = parseAttribute(node, 'version', version)
  const debug = parseAttribute(node, 'debug', uint)
  const secretText = firstChild(node, 'encryption')?.attributes.secret
  const secret = secretText ? uuid.parse(secretText) : undefined
  if (secretText && secret === undefined) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `Unable to parse secret uuid '${secretText}'`)
  }
  const source = parseStateSource(node)
  const persistentText = node.attributes.persistent_state
  const persistent = persistentText === undefined ? undefined : yesNo.parse(persistentText)
  if (persistentText !== undefined && persistent === undefined) {
    throw fail('VIR_ERR_INTERNAL_ERROR', "Invalid persistent_state value, either 'yes' or 'no'")
  }
  const banks = childElements(node, 'active_pcr_banks').flatMap(one => childElements(one).map(({ name }) => name))
  for (const bank of banks) {
    if (pcrBank.parse(bank) === undefined) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Unsupported PCR banks '${bank}'`)
    }
  }
  return {
    type: 'emulator',
    ...(chosen && { version: chosen }),
    ...(persistent && { persistentState: true }),
    ...(debug && { debug }),
    ...(secret && { secret }),
    ...(source && { source }),
    ...(banks.length > 0 && { pcrBanks: pcrBank.values.filter(bank => banks.includes(bank)) }),
    ...parseProfile(node)
  }
}

function parseStateSource(backend: XmlElement): TpmStateSource | undefined {
  const found = firstChild(backend, 'source')
  if (!found) return undefined
  const type = parseAttribute(found, 'type', sourceType)
  const { path } = found.attributes
  if (path === undefined) throw fail('VIR_ERR_XML_ERROR', 'missing TPM source path')
  // libvirt writes nothing of one without a type
  return type && { type, path }
}

function parseProfile(backend: XmlElement): { profile?: TpmProfile } {
  const found = firstChild(backend, 'profile')
  if (!found) return {}
  const { source, name } = found.attributes
  const disabled = parseAttribute(found, 'removeDisabled', removeDisabled)
  if (source === undefined && name === undefined) return {}
  return {
    profile: {
      ...(source !== undefined && { source }),
      ...(disabled && { removeDisabled: disabled }),
      ...(name !== undefined && { name })
    }
  }
}

function parseExternal(node: XmlElement, context: ParseContext): TpmBackend {
  const type = firstChild(node, 'source')?.attributes.type
  if (!type) throw fail('VIR_ERR_XML_ERROR', 'missing external TPM backend source type')
  if (!isChardevType(type)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown backend source type '${type}' for external TPM`)
  }
  return { type: 'external', source: parseChardevSource(node, type, context) }
}

const backend: Field<TpmBackend> = custom<TpmBackend>({
  names: [
    [
      'backend',
      {
        type: attr('type', string),
        version: attr('version', version),
        persistentState: attr('persistent_state', yesNo),
        debug: attr('debug', uint),
        device: childAttr('device', 'path', string),
        encryption: childAttr('encryption', 'secret', uuid),
        pcrBanks: { names: [['active_pcr_banks', null]], parse: () => undefined, format: () => undefined },
        source: { names: [['source', null]], parse: () => undefined, format: () => undefined },
        profile: { names: [['profile', null]], parse: () => undefined, format: () => undefined }
      }
    ]
  ],
  parse(node, context) {
    const [found, ...more] = childElements(node, 'backend')
    if (more.length > 0) throw fail('VIR_ERR_XML_ERROR', 'only one TPM backend is supported')
    if (!found) throw fail('VIR_ERR_XML_ERROR', 'missing TPM device backend')
    const type = backendType.parse(found, context)
    if (type === 'emulator') return parseEmulator(found)
    if (type === 'external') return parseExternal(found, context)
    return { type, path: firstChild(found, 'device')?.attributes.path || DEFAULT_DEVICE }
  },
  format(value, into) {
    const node = element('backend', { type: value.type })
    if (value.type === 'passthrough') node.children.push(element('device', { path: value.path }))
    else if (value.type === 'emulator') formatEmulator(value, node)
    else if (value.source.type === 'unix') {
      node.children.push(element('source', { type: 'unix', mode: 'connect', path: value.source.path }))
    }
    into.children.push(node)
  }
})

function formatEmulator(value: TpmEmulator, node: XmlElement): void {
  if (value.version) node.attributes.version = value.version
  if (value.persistentState) node.attributes.persistent_state = 'yes'
  if (value.debug) node.attributes.debug = String(value.debug)
  if (value.secret) node.children.push(element('encryption', { secret: value.secret }))
  if (value.pcrBanks)
    node.children.push(
      element(
        'active_pcr_banks',
        {},
        value.pcrBanks.map(name => element(name))
      )
    )
  if (value.source) node.children.push(element('source', { ...value.source }))
  if (value.profile) node.children.push(element('profile', { ...value.profile }))
}

export const tpmFields = {
  /** absent until QEMU's driver chooses by architecture */
  model: attr('model', enumOf('tpm-tis', 'tpm-crb', 'tpm-spapr', 'spapr-tpm-proxy')),
  backend,
  ...deviceInfo
} satisfies Fields
export type TpmDef = Def<typeof tpmFields>

export const tpm = deviceFamily({
  element: 'tpm',
  fields: tpmFields,
  limit: {
    count: 2,
    message: 'a maximum of two TPM devices is supported, one of them being a TPM Proxy device'
  },
  validate({ backend: of }) {
    if (of.type === 'emulator' && of.pcrBanks && of.version !== '2.0') {
      throw fail('VIR_ERR_XML_ERROR', "<active_pcr_banks/> requires TPM version '2.0'")
    }
    if (of.type === 'emulator' && of.profile?.source !== undefined && of.version !== '2.0') {
      throw fail('VIR_ERR_XML_ERROR', "<profile/> requires TPM version '2.0'")
    }
    if (of.type !== 'external') return
    const { source } = of
    if (source.type !== 'unix') {
      throw fail('VIR_ERR_XML_ERROR', "only source type 'unix' is supported for external TPM device")
    }
    if (source.mode === 'bind') {
      throw fail('VIR_ERR_XML_ERROR', "only 'connect' mode is supported for external TPM device")
    }
    if (source.path === undefined) throw fail('VIR_ERR_XML_ERROR', 'missing socket path for external TPM device')
  }
})
