// Ports of virtio-serial controllers (virDomainVirtioSerialAddr…): port 0 is for a console.
import { ensureController } from '../../../../conf/controllers.ts'
import type { ControllerDef } from '../../../../conf/devices/controller.ts'
import type { Address, AddressOf } from '../../../../conf/devices/device-address.ts'
import { eachDeviceInfo } from '../../../../conf/devices/index.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const DEFAULT_PORTS = 31

type SerialAddress = AddressOf<'virtio-serial'>

/** A port is known; 0 stands for one not chosen yet. */
const isComplete = (address: Address | undefined): address is SerialAddress =>
  address?.type === 'virtio-serial' && address.port !== 0

/** The ports of one controller, which may be said to be very many. */
class Controller {
  readonly index: number
  readonly #count: number
  readonly #used = new Set<number>()

  constructor({ index = 0, ports = DEFAULT_PORTS }: ControllerDef) {
    this.index = index
    this.#count = ports
  }

  reserve(port: number): void {
    const wrong = (message: string) => fail('VIR_ERR_XML_ERROR', message)
    if (port >= this.#count) throw wrong(`virtio serial controller ${this.index} does not have port ${port}`)
    if (this.#used.has(port)) {
      throw wrong(`virtio serial port ${port} on controller ${this.index} is already occupied`)
    }
    this.#used.add(port)
  }

  next(first: number): number | undefined {
    if (this.#used.size >= this.#count - first) return undefined
    let port = first
    while (this.#used.has(port)) port++
    return port
  }
}

/** The ports of every virtio-serial controller, lowest index first. */
class Ports {
  readonly #controllers: Controller[] = []

  add(dev: ControllerDef): void {
    this.#controllers.push(new Controller(dev))
    this.#controllers.sort((a, b) => a.index - b.index)
  }

  get isEmpty(): boolean {
    return this.#controllers.length === 0
  }

  has(index: number): boolean {
    return this.#controllers.some(one => one.index === index)
  }

  reserve({ controller, port }: SerialAddress): void {
    const found = this.#controllers.find(one => one.index === controller)
    if (!found) throw fail('VIR_ERR_XML_ERROR', `virtio serial controller ${controller} is missing`)
    found.reserve(port)
  }

  /** The first free port from `first` on, over all controllers or on one. */
  next(first: number, only?: number): SerialAddress | undefined {
    for (const one of this.#controllers) {
      const port = only === undefined || only === one.index ? one.next(first) : undefined
      if (port !== undefined) return { type: 'virtio-serial', controller: one.index, bus: 0, port }
    }
    return undefined
  }
}

/** Chooses ports for virtio consoles and channels that have none; adds controllers where all ports are taken. */
export function assignVirtioSerialAddresses(def: DomainDef): void {
  const { controllers, consoles, channels } = def.devices
  const ports = new Ports()
  for (const dev of controllers) if (dev.type === 'virtio-serial') ports.add(dev)
  for (const [, { address }] of eachDeviceInfo(def.devices)) if (isComplete(address)) ports.reserve(address)
  for (const { target, address } of consoles) {
    // libvirt chooses a port for a console without keeping it: the console stays without an address
    if (target.type === 'virtio' && !isComplete(address)) takePort(def, ports, address, 0)
  }
  for (const dev of channels) {
    if (dev.target.type === 'virtio' && !isComplete(dev.address)) dev.address = takePort(def, ports, dev.address, 1)
  }
}

function takePort(def: DomainDef, ports: Ports, given: Address | undefined, first: 0 | 1): SerialAddress {
  const only = given?.type === 'virtio-serial' ? given.controller : undefined
  const address = only === undefined ? nextPort(def, ports, first) : nextOn(ports, first === 0 ? 0 : only)
  if (address.port !== 0) ports.reserve(address)
  return address
}

/** Controllers are numbered on until one has a free port. */
function nextPort(def: DomainDef, ports: Ports, first: 0 | 1): SerialAddress {
  if (ports.isEmpty) {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'no virtio-serial controllers are available')
  }
  const found = ports.next(first)
  if (found) return found
  let index = 0
  while (ports.has(index)) index++
  ports.add(ensureController(def, 'virtio-serial', index).controller)
  return { type: 'virtio-serial', controller: index, bus: 0, port: first }
}

function nextOn(ports: Ports, controller: number): SerialAddress {
  if (!ports.has(controller)) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `virtio-serial controller ${controller} not available`)
  }
  const found = ports.next(1, controller)
  if (found) return found
  throw fail('VIR_ERR_XML_ERROR', `Unable to find a free port on virtio-serial controller ${controller}`)
}
