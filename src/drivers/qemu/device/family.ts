// What QEMU's driver adds to a device family, beside the arguments.
import type { DomainDef } from '../../../conf/domain-def.ts'
import type { QemuContext } from '../context.ts'

/** The QEMU side of one device family. */
export interface QemuFamily<D> {
  /**
   * defaults; libvirt: the family's part of qemuDomainDeviceDefPostParse
   * @param live the definition is that of a running guest, whose run-time values are kept
   */
  postParse?(dev: D, def: DomainDef, context: QemuContext, live: boolean): void
  /** checks; libvirt: the family's part of qemuValidateDomainDeviceDef */
  validate?(dev: D, def: DomainDef, context: QemuContext): void
}
