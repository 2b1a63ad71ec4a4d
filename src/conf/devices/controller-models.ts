// The models of each type of controller, as libvirt names them.

/** Models by controller type; types without models are not listed. */
export const controllerModels = {
  ide: ['piix3', 'piix4', 'ich6'],
  scsi: [
    'auto',
    'buslogic',
    'lsilogic',
    'lsisas1068',
    'vmpvscsi',
    'ibmvscsi',
    'virtio-scsi',
    'lsisas1078',
    'virtio-transitional',
    'virtio-non-transitional',
    'ncr53c90',
    'dc390',
    'am53c974'
  ],
  'virtio-serial': ['virtio', 'virtio-transitional', 'virtio-non-transitional'],
  usb: [
    'piix3-uhci',
    'piix4-uhci',
    'ehci',
    'ich9-ehci1',
    'ich9-uhci1',
    'ich9-uhci2',
    'ich9-uhci3',
    'vt82c686b-uhci',
    'pci-ohci',
    'nec-xhci',
    'qusb1',
    'qusb2',
    'qemu-xhci',
    'none'
  ],
  pci: [
    'pci-root',
    'pcie-root',
    'pci-bridge',
    'dmi-to-pci-bridge',
    'pcie-to-pci-bridge',
    'pcie-root-port',
    'pcie-switch-upstream-port',
    'pcie-switch-downstream-port',
    'pci-expander-bus',
    'pcie-expander-bus'
  ]
} as const

type Models = typeof controllerModels
export type PciModel = Models['pci'][number]
export type UsbModel = Models['usb'][number]
export type ScsiModel = Models['scsi'][number]
export type ControllerModel = Models[keyof Models][number]

/** The model of a PCI controller. */
export function pciModelOf({ type, model }: { type: string; model?: ControllerModel }): PciModel | undefined {
  return type === 'pci' ? controllerModels.pci.find(one => one === model) : undefined
}

/** The parts of an ICH9 USB 2 controller: one master, three companions that share its index. */
const USB2_MODELS: ReadonlySet<string> = new Set<UsbModel>(['ich9-ehci1', 'ich9-uhci1', 'ich9-uhci2', 'ich9-uhci3'])

/** True for the parts of an ICH9 USB 2 controller (IS_USB2_CONTROLLER). */
export function isUsb2({ type, model }: { type: string; model?: string }): boolean {
  return type === 'usb' && model !== undefined && USB2_MODELS.has(model)
}

/** The first port of the master that each companion serves, if none is given. */
export const COMPANION_START_PORTS: Partial<Record<string, number>> = {
  'ich9-uhci1': 0,
  'ich9-uhci2': 2,
  'ich9-uhci3': 4
} satisfies Partial<Record<UsbModel, number>>

/** True for the SCSI controllers that are virtio devices. */
export function isVirtioScsi(model: string | undefined): boolean {
  return model === 'virtio-scsi' || model === 'virtio-transitional' || model === 'virtio-non-transitional'
}

/** Names of the QEMU devices behind PCI controllers, `<model name=…/>`. */
export const pciModelNames = [
  'none',
  'pci-bridge',
  'i82801b11-bridge',
  'ioh3420',
  'x3130-upstream',
  'xio3130-downstream',
  'pxb',
  'pxb-pcie',
  'pcie-root-port',
  'spapr-pci-host-bridge',
  'pcie-pci-bridge'
] as const
export type PciModelName = Exclude<(typeof pciModelNames)[number], 'none'>
