// What QEMU's driver knows of a device family.
import type { DomainDef } from '../../../conf/domain-def.ts'
import type { QemuContext } from '../context.ts'
import type { Builder } from '../parts/builder.ts'

/** The QEMU side of one device family. */
export interface QemuFamily<D> {
  /**
   * defaults; libvirt: the family's part of qemuDomainDeviceDefPostParse
   * @param live the definition is that of a running guest, whose run-time values are kept
   */
  postParse?(dev: D, def: DomainDef, context: QemuContext, live: boolean): void
  /** checks; libvirt: the family's part of qemuValidateDomainDeviceDef */
  validate?(dev: D, def: DomainDef, context: QemuContext): void
  /**
   * tells QEMU of the device, its parts before it; libvirt: the family's part of qemuBuildCommandLine
   * @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_OPERATION_UNSUPPORTED for what a running QEMU does not take
   */
  add?(to: Builder, dev: D): void
}
