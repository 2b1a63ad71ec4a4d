// The shape of a device family: one XML element below <devices>, with its passes.
import type { DomainDef } from '../domain-def.ts'
import type { Def, Fields, FormatContext } from '../element.ts'
import type { ErrorCode } from '../error.ts'
import type { Devices } from './index.ts'

/** One device element: its table, and what libvirt's generic (not QEMU's) passes do with it. */
export interface DeviceFamily<D> {
  /** element name below `<devices>` */
  element: string
  fields: Fields
  /** the table in the order libvirt reads it, which decides about the error, where that is not the order it writes */
  asRead?: Fields
  /** the largest number of them, one unless given, and libvirt's error if there are more */
  limit?: { count?: number; code?: ErrorCode; message: string }
  /** checks a device just read, beside the families read before it; what is wrong is told before the next is read */
  checkRead?(dev: D, devices: Devices): void
  /**
   * checks a list just read, in the document's order, beside the families read before it, and puts it into the order
   * libvirt keeps it in
   */
  parsed?(list: D[], devices: Devices): D[]
  /** defaults that need only the definition; libvirt: virDomainDeviceDefPostParseCommon */
  postParse?(dev: D, def: DomainDef): void
  /** checks that need only the definition; libvirt: virDomainDeviceDefValidateInternal */
  validate?(dev: D, def: DomainDef): void
  /** true if libvirt takes one for the description of the other (virDomain…DefFind, virDomain…DefEquals) */
  same?(wanted: D, there: D): boolean
  /** true for a device that needs a USB bus (virDomainDeviceIsUSB) */
  isUsb?(dev: D): boolean
  /** the device that is written in its place, if that is not itself; undefined: nothing */
  shown?(dev: D, index: number, devices: Devices, context: FormatContext): D | undefined
}

/** Declares a family; types of the passes follow from its table. */
export function deviceFamily<F extends Fields>(family: { fields: F } & DeviceFamily<Def<F>>): DeviceFamily<Def<F>> {
  return family
}
