// The PCI buses of a guest and what is plugged in where (virDomainPCIAddressSet): bus N is the controller with index N.
import { PCI_INDEX_MAX, tooManyBuses } from '../../../../conf/controllers.ts'
import type { PciModel } from '../../../../conf/devices/controller-models.ts'
import { type PciAddress, pciAddressText } from '../../../../conf/devices/device-address.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { CONNECT, flagsText, modelPluggedAs, PCI_MODELS, plugProblem } from './pci-flags.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const FUNCTIONS = 8

/** Guests with more buses than there are numbers are refused later; this bounds what is done for them until then. */
export const BUSES_MAX = 1024

/** A PCI address on domain 0. */
export const pciAddress = (bus: number, slot: number, fn = 0): PciAddress => ({
  type: 'pci',
  domain: 0,
  bus,
  slot,
  function: fn
})

class Slot {
  /** a bit for each function in use */
  functions = 0
  /** its devices share it, so further ones of their kind may come to it */
  aggregate = false
}

class Bus {
  model: PciModel | undefined
  accepts = 0
  minSlot = 0
  maxSlot = 0
  readonly slots = Array.from({ length: 32 }, () => new Slot())
  /** devices of other groups stay away; locked: the group cannot change */
  isolationGroup = 0
  isolationLocked = false

  setModel(model: PciModel | undefined, allowHotplug = true): void {
    if (model === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', 'PCI controller model was not set correctly')
    const { accepts, hotplug, minSlot, maxSlot } = PCI_MODELS[model]
    this.model = model
    this.accepts = accepts | (hotplug && allowHotplug ? CONNECT.hotplug : 0)
    this.minSlot = minSlot
    this.maxSlot = maxSlot
  }

  get #usable(): Slot[] {
    return this.slots.slice(this.minSlot, this.maxSlot + 1)
  }
  get isFull(): boolean {
    return this.#usable.every(({ functions }) => functions !== 0)
  }
  get isEmpty(): boolean {
    return this.#usable.every(({ functions }) => functions === 0)
  }

  /** The first place for a device; function -1 is any (virDomainPCIAddressFindUnusedFunctionOnBus). */
  findPlace(bus: number, flags: number, fn: number): PciAddress | undefined {
    const wanted = fn === -1 ? 0 : fn
    if (plugProblem('', bus, this.accepts, flags, false)) return undefined
    for (let slot = this.minSlot; slot <= this.maxSlot; slot++) {
      const { functions, aggregate } = this.slots[slot]!
      if (functions === 0) return pciAddress(bus, slot, wanted)
      if (!aggregate || !(flags & CONNECT.aggregate)) continue
      const last = fn === -1 ? FUNCTIONS - 1 : wanted
      for (let at = wanted; at <= last; at++) if (!(functions & (1 << at))) return pciAddress(bus, slot, at)
    }
    return undefined
  }
}

export interface PciBusesOptions {
  /** highest index of the PCI controllers, plus one */
  count: number
  /** buses are added as needed, to learn how many it takes */
  canGrow: boolean
  /** more root buses can be had instead of bridges (pSeries) */
  multipleRoots: boolean
  pcieToPciBridge: boolean
}

/** Keeps account of one guest's PCI places. @throws VIR_ERR_XML_ERROR for places the user chose, else VIR_ERR_INTERNAL_ERROR */
export class PciBuses {
  readonly buses: Bus[]
  readonly #options: PciBusesOptions

  constructor(options: PciBusesOptions) {
    this.#options = options
    this.buses = Array.from({ length: options.count }, () => new Bus())
  }

  get canGrow(): boolean {
    return this.#options.canGrow
  }

  isSlotInUse({ bus, slot }: PciAddress): boolean {
    return this.buses[bus]!.slots[slot]!.functions !== 0
  }

  /** Checks a place against the buses there are (virDomainPCIAddressValidate). */
  validate(address: PciAddress, flags: number, fromConfig: boolean, where = pciAddressText(address)): void {
    const wrong = (message: string) => fail(fromConfig ? 'VIR_ERR_XML_ERROR' : 'VIR_ERR_INTERNAL_ERROR', message)
    if (this.buses.length === 0) throw wrong('No PCI buses available')
    if (address.domain !== 0) throw wrong(`Invalid PCI address ${where}. Only PCI domain 0 is available`)
    const bus = this.buses[address.bus]
    if (!bus) {
      throw wrong(`Invalid PCI address ${where}. Only PCI buses up to ${this.buses.length - 1} are available`)
    }
    const problem = plugProblem(where, address.bus, bus.accepts, flags, fromConfig)
    if (problem !== undefined) throw wrong(problem)
    if (address.slot < bus.minSlot) throw wrong(`Invalid PCI address ${where}. slot must be >= ${bus.minSlot}`)
    if (address.slot > bus.maxSlot) throw wrong(`Invalid PCI address ${where}. slot must be <= ${bus.maxSlot}`)
    if (address.function >= FUNCTIONS) {
      throw wrong(`Invalid PCI address ${where}. function must be <= ${FUNCTIONS - 1}`)
    }
  }

  /**
   * Takes a place (virDomainPCIAddressReserveAddr). A place on a bus that has to be added may move to the bus behind it,
   * where conventional slots need a bridge first: then the address is changed.
   */
  reserve(address: PciAddress, flags: number, isolationGroup = 0, fromConfig = true): void {
    const where = pciAddressText(address)
    if (this.canGrow) this.#grow(address, flags)
    this.validate(address, flags, fromConfig, where)
    const bus = this.buses[address.bus]!
    const slot = bus.slots[address.slot]!
    if (slot.functions & (1 << address.function)) {
      throw fail(
        fromConfig ? 'VIR_ERR_XML_ERROR' : 'VIR_ERR_INTERNAL_ERROR',
        `Attempted double use of PCI Address ${where}`
      )
    }
    if (slot.functions === 0 && flags & CONNECT.aggregate) slot.aggregate = true
    if (bus.isEmpty && !bus.isolationLocked) bus.isolationGroup = isolationGroup
    else if (bus.isolationGroup !== isolationGroup && fromConfig) bus.isolationGroup = 0
    slot.functions |= 1 << address.function
  }

  /** Takes the first free place that suits; function -1 is any (virDomainPCIAddressReserveNextAddr). */
  reserveNext(flags: number, isolationGroup = 0, fn = -1): PciAddress {
    const address = this.#next(flags, isolationGroup, fn)
    this.reserve(address, flags, isolationGroup, false)
    return address
  }

  #next(flags: number, isolationGroup: number, fn: number): PciAddress {
    if (this.buses.length === 0) throw fail('VIR_ERR_XML_ERROR', 'No PCI buses available')
    const place = (suits: (bus: Bus) => boolean): PciAddress | undefined => {
      for (const [index, bus] of this.buses.entries()) {
        const found = suits(bus) ? bus.findPlace(index, flags, fn) : undefined
        if (found) return found
      }
      return undefined
    }
    const found =
      place(bus => bus.isolationGroup === isolationGroup) ?? place(bus => bus.isEmpty && !bus.isolationLocked)
    if (found) return found
    if (!this.canGrow) throw fail('VIR_ERR_INTERNAL_ERROR', 'No more available PCI slots')
    const added = pciAddress(this.buses.length, 0, fn === -1 ? 0 : fn)
    this.#grow(added, flags)
    added.slot = this.buses[added.bus]!.minSlot
    return added
  }

  /** Adds the controllers it takes to have that bus (virDomainPCIAddressSetGrow). */
  #grow(address: PciAddress, flags: number): void {
    let missing = address.bus - this.buses.length + 1
    if (missing <= 0) return
    if (address.bus > BUSES_MAX) throw tooManyBuses(PCI_INDEX_MAX + 1)
    const models: PciModel[] = []
    if (flags & CONNECT.pci) {
      const { multipleRoots, pcieToPciBridge } = this.#options
      // a guest with Express slots only: something must carry the conventional ones
      if (!multipleRoots && !this.buses.some(({ accepts }) => accepts & CONNECT.pciBridge)) {
        if (pcieToPciBridge) models.push('pcie-root-port', 'pcie-to-pci-bridge')
        else models.push('dmi-to-pci-bridge')
        if (missing === 1) {
          missing++
          address.bus++
        }
      }
      while (models.length < missing) models.push(multipleRoots ? 'pci-root' : 'pci-bridge')
    } else if (flags & (CONNECT.pcie | CONNECT.upstreamPort)) {
      while (models.length < missing) models.push('pcie-root-port')
    } else throw cannotGrow(flags)
    for (const [at, model] of models.entries()) {
      const bus = new Bus()
      bus.setModel(model)
      // the port below a bridge is for the bridge, nothing else may take it
      if (models[at + 1] === 'pcie-to-pci-bridge') bus.accepts = CONNECT.pcieToPciBridge
      this.buses.push(bus)
    }
  }
}

function cannotGrow(flags: number): Error {
  const model = modelPluggedAs(flags)
  return fail(
    'VIR_ERR_INTERNAL_ERROR',
    model === undefined
      ? `Cannot automatically add a new PCI bus for a device with connect flags ${flagsText(flags)}`
      : `a PCI slot is needed to connect a PCI controller model='${model}', but none is available, and it cannot be automatically added`
  )
}
