// One device as text, as APIs take it.
import { type AnyDevice, type DeviceKind, deviceFamilies, familyOf, noDevices } from './devices/index.ts'
import { type FormatContext, formatContext, formatFields, parseFields } from './element.ts'
import { errorsFrom } from './error.ts'
import { formatXml, parseXml } from './xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** A device and the list of a definition it belongs to. */
export type Device = [kind: DeviceKind, dev: AnyDevice]

/** A definition's only, never changed by itself. */
const NO_DEVICE = 'redirfilter'

const KINDS = new Map(
  (Object.keys(deviceFamilies) as DeviceKind[])
    .map(kind => [familyOf(kind).element, kind] as const)
    .filter(([element]) => element !== NO_DEVICE)
)

/**
 * Reads a device as the user wrote it; defaults are filled in by devicePostParse.
 * @param inactive false: it tells of a running guest's, with the alias, host ends and the like of that
 * @param status it is of our own saved status
 * @throws VIR_ERR_XML_DETAIL (not well formed), VIR_ERR_CONFIG_UNSUPPORTED (no device), VIR_ERR_XML_ERROR (wrong values)
 */
export function parseDevice(text: string, inactive = true, status = false): Device {
  const node = parseXml(text, '(device_definition)')
  const kind = KINDS.get(node.name)
  if (!kind) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown device type '${node.name}'`)
  const family = familyOf(kind)
  const dev = parseFields(node, family.asRead ?? family.fields, { inactive, status }) as AnyDevice
  family.checkRead?.(dev, noDevices())
  return [kind, dev]
}

/** Writes a device as its definition has it. */
export function formatDevice([kind, dev]: Device, options: Partial<FormatContext> = {}): string {
  const { element, fields } = familyOf(kind)
  return formatXml(formatFields(element, dev, fields, formatContext(options)))
}
