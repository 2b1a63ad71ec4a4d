// <iommu>: QEMU's checks and arguments.
import type { IommuDef } from '../../../conf/devices/iommu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { Capability } from '../capabilities/signs.ts'
import { isArmVirt, isQ35 } from '../machine-type.ts'
import { addressProps } from '../parts/address.ts'
import type { Builder } from '../parts/builder.ts'
import { joinAlone, missing, type QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

type Model = IommuDef['model']

/** Machines each model is for, and what QEMU needs for it. */
const MODELS: Record<
  Model,
  { fits: (def: Parameters<typeof isQ35>[0]) => boolean; machines: string; needs: Capability[] }
> = {
  intel: { fits: isQ35, machines: 'Q35', needs: ['intel-iommu'] },
  amd: { fits: isQ35, machines: 'Q35', needs: ['amd-iommu.pci-id'] },
  smmuv3: { fits: isArmVirt, machines: 'ARM Virt', needs: ['machine.virt.iommu'] },
  virtio: {
    fits: def => isArmVirt(def) || isQ35(def),
    machines: 'Q35 and ARM Virt',
    needs: ['virtio-iommu-pci', 'virtio-iommu.boot-bypass']
  }
}

/** QEMU's capability for each attribute of `<driver>`, and libvirt's name of it. */
const ATTRIBUTES: [keyof NonNullable<IommuDef['driver']>, Capability, string][] = [
  ['intremap', 'intel-iommu.intremap', 'interrupt remapping'],
  ['cachingMode', 'intel-iommu.caching-mode', 'caching mode'],
  ['eim', 'intel-iommu.eim', 'eim'],
  ['iotlb', 'intel-iommu.device-iotlb', 'device IOTLB'],
  ['awBits', 'intel-iommu.aw-bits', 'aw_bits'],
  ['dmaTranslation', 'intel-iommu.dma-translation', 'updating dma translation']
]

function validateDriver(driver: IommuDef['driver'], qemu: Qemu): void {
  for (const [attribute, needs, what] of ATTRIBUTES) {
    if (driver?.[attribute] !== undefined && !qemu.has(needs)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `iommu: ${what} is not supported with this QEMU binary`)
    }
  }
}

const GRANULES_KIB = [4, 8, 16, 64]

/** Most vCPUs an interrupt remapping unit without extended mode can address. */
export const VCPUS_WITHOUT_EIM = 255

/** So many vCPUs that their interrupts need the extended mode of an IOMMU (qemuDomainNeedsIOMMUWithEIM). */
export const needsEim = (def: DomainDef): boolean => isQ35(def) && def.vcpu.max > VCPUS_WITHOUT_EIM

/** This QEMU has an IOMMU that can do it. */
export const canRemapManyVcpus = (qemu: Qemu): boolean =>
  qemu.has('intel-iommu') && qemu.has('intel-iommu.intremap') && qemu.has('intel-iommu.eim')

export const qemuIommu: QemuFamily<IommuDef> = {
  postParse(dev, def, { qemu }) {
    if (dev.model !== 'intel' || !needsEim(def)) return
    const driver = dev.driver ?? {}
    if (qemu.has('intel-iommu.intremap')) driver.intremap ??= true
    if (qemu.has('intel-iommu.eim')) driver.eim ??= true
    dev.driver = driver
  },
  validate({ model, address, driver }, def, { qemu }) {
    const refuse = (what: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', `IOMMU device: '${model}' ${what}`)
    const { fits, machines, needs } = MODELS[model]
    if (!fits(def)) throw refuse(`is only supported with ${machines} machines`)
    if (!needs.every(capability => qemu.has(capability))) throw refuse('is not supported with this QEMU binary')
    if (model === 'virtio') {
      if (!def.features?.acpi) throw refuse('requires ACPI')
    }
    if (address && address.type !== 'pci') throw refuse('needs a PCI address')
    if (model === 'intel') validateDriver(driver, qemu)
    if (typeof driver?.granule === 'number' && !GRANULES_KIB.includes(driver.granule)) {
      throw fail(
        'VIR_ERR_CONFIG_UNSUPPORTED',
        'iommu: unsupported granule size. Supported values are 4, 8, 16 and 64 KiB'
      )
    }
  },
  add: addIommu,
  config: {
    attach: joinAlone('iommus', 'domain already has an iommu device'),
    find: (_dev, { devices }) => devices.iommus[0],
    noneToDetach: missing('matching iommu device not found', 'VIR_ERR_OPERATION_FAILED')
  }
}

/** smmuv3 is a property of the machine. */
function addIommu(to: Builder, dev: IommuDef): void {
  const { model, alias: id, driver } = dev
  if (model === 'virtio') {
    const { awBits, granule } = driver ?? {}
    const size = typeof granule === 'number' ? `${granule}k` : granule
    to.device({ driver: 'virtio-iommu', id, 'aw-bits': awBits, granule: size, ...addressProps(to, dev) })
  }
  if (model === 'amd') {
    to.device({ driver: 'AMDVI-PCI', id, ...addressProps(to, dev) })
    to.device({
      driver: 'amd-iommu',
      'pci-id': id,
      intremap: onOffAuto(driver?.intremap),
      pt: driver?.passthrough,
      xtsup: driver?.xtsup,
      'device-iotlb': driver?.iotlb
    })
  }
  if (model !== 'intel') return
  to.device({
    driver: 'intel-iommu',
    id,
    intremap: onOffAuto(driver?.intremap),
    'caching-mode': driver?.cachingMode,
    eim: onOffAuto(driver?.eim),
    'device-iotlb': driver?.iotlb,
    'aw-bits': driver?.awBits,
    'dma-translation': driver?.dmaTranslation
  })
}

/** QEMU's OnOffAuto is a string, not a boolean. */
const onOffAuto = (value: boolean | undefined) => (value === undefined ? undefined : value ? 'on' : 'off')
