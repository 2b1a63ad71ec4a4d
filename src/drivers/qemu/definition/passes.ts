// QEMU's part in the passes over a definition: parse, post-parse, validate, prepare, command line.
import { type Device, parseDevice } from '../../../conf/device-xml.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { type DefDriver, devicePostParse, postParse } from '../../../conf/domain-postparse.ts'
import { validate, validateDevice } from '../../../conf/domain-validate.ts'
import { type ParseOptions, parseDomain } from '../../../conf/domain-xml.ts'
import { attempt, orThrow, type Refuse } from '../../../conf/refuse.ts'
import type { QemuContext } from '../context.ts'
import { qemuFamily } from '../device/index.ts'
import { asPlainInterfaces } from '../device/interface/native.ts'
import { assignAddresses } from './address/index.ts'
import { validateDeviceInfo } from './address/validate.ts'
import { assignAliases } from './alias.ts'
import { withCustomCapabilities } from './custom-capabilities.ts'
import { postParseBasic, postParseDomain } from './postparse.ts'
import { prepareDomain } from './prepare.ts'
import { validateStart } from './start-validate.ts'
import { validateDomain } from './validate.ts'

/** The surroundings of a guest, known once its emulator is: parse calls it between the two halves of post-parse. */
export type ContextFor = (def: DomainDef) => Promise<QemuContext>

/** Kinds of definitions the passes go over. */
interface Passed {
  /** of a running guest, whose run-time values are kept */
  live?: boolean
  /** just given by a user; others have been completed before */
  isNew?: boolean
}

function driver(context: QemuContext, { live = false, isNew = true }: Passed = {}): DefDriver {
  return {
    isNew,
    postParse: def => postParseDomain(def, context, isNew),
    devicePostParse: (kind, dev, def) => qemuFamily(kind)?.postParse?.(dev, def, context, live),
    assignAddresses: def => assignAddresses(def, context, isNew),
    validate: def => validateDomain(def, context),
    deviceValidate(kind, dev, def) {
      validateDeviceInfo(kind, dev, def, context)
      qemuFamily(kind)?.validate?.(dev, def, context)
    }
  }
}

/**
 * Parses, completes and checks a definition (virDomainDefParseString). It is taken for a new one, as by
 * virDomainDefineXML, unless options.abiUpdate is false.
 * @param check false: it is one that is kept, and is checked again when it starts
 */
export async function loadDomain(
  xml: string,
  contextFor: ContextFor,
  { check = true, abiUpdate = true, ...options }: ParseOptions & { check?: boolean } = {}
): Promise<{ def: DomainDef; context: QemuContext }> {
  const def = parseDomain(xml, { ...options, abiUpdate })
  postParseBasic(def)
  const context = await contextFor(def)
  const qemu = driver(context, { live: options.inactive === false, isNew: abiUpdate })
  postParse(def, qemu)
  if (check) validate(def, qemu)
  return { def, context }
}

/**
 * Fills the defaults into a definition that is part of a snapshot's or checkpoint's, or whose devices have changed.
 * @param check true: checks it too, as loadDomain does
 */
export function completeDomain(
  def: DomainDef,
  context: QemuContext,
  { isNew = true, check = false }: Passed & { check?: boolean } = {}
): void {
  postParseBasic(def)
  const qemu = driver(context, { isNew })
  postParse(def, qemu)
  if (check) validate(def, qemu)
}

/**
 * Reads, completes and, unless told otherwise, checks one device that is not in the definition (virDomainDeviceDefParse).
 * @param inactive see parseDevice
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for what is no device, and as loadDomain
 */
export function loadDevice(
  xml: string,
  def: DomainDef,
  context: QemuContext,
  { check = true, inactive = true }: { check?: boolean; inactive?: boolean } = {}
): Device {
  const [kind, dev] = parseDevice(xml, inactive)
  const qemu = driver(context)
  devicePostParse(kind, dev, def, qemu)
  if (check) validateDevice(kind, dev, def, qemu)
  return [kind, dev]
}

/**
 * Prepares a definition for a command line that is only shown (qemuProcessCreatePretendCmdPrepare).
 * @returns the surroundings to build it in
 */
export function prepareNative(def: DomainDef, context: QemuContext): QemuContext {
  asPlainInterfaces(def)
  assignAddresses(def, context)
  return prepareStart(def, context)
}

/**
 * Prepares the definition of a guest that starts (qemuProcessInit, qemuProcessPrepareDomain).
 * @param nextNode numbers its block nodes
 * @returns the surroundings to start it in: capabilities as the user has changed them
 */
export function prepareStart(def: DomainDef, context: QemuContext, nextNode?: () => number): QemuContext {
  const started = checkStart(def, context)
  completeStart(def, started, nextNode)
  return started
}

/** The first half of prepareStart: checks that need this run. */
export function checkStart(def: DomainDef, context: QemuContext, refuse: Refuse = orThrow): QemuContext {
  const started = attempt(refuse, () => withCustomCapabilities(def, context)) ?? context
  // one that is only shown has just been checked
  if (!context.pretend || started !== context) validate(def, driver(started), refuse)
  validateStart(def, started, refuse)
  return started
}

/** The second half: aliases, ports, run-time paths. */
export function completeStart(
  def: DomainDef,
  started: QemuContext,
  nextNode?: () => number,
  refuse: Refuse = orThrow
): void {
  assignAliases(def, started)
  prepareDomain(def, started, nextNode, refuse)
}
