// <blkiotune>: the guest's share of the host's block I/O.
import type { DomainDef } from '../domain-def.ts'
import { claim, custom, type Fields, gatheredChild } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { type Scalar, uint, uintWrapping, ulonglongWrapping } from '../scalar.ts'
import { childElements, element, firstChild, textOf, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Limits of one host device; 0 is none. */
export interface BlkioDevice {
  path: string
  weight: number
  readIopsSec: number
  writeIopsSec: number
  readBytesSec: bigint
  writeBytesSec: bigint
}

const table = {
  weight: custom<number | undefined>({
    names: ['weight'],
    // libvirt takes what it cannot read for no weight
    parse: node => uint.parse(text(node, 'weight')) || undefined,
    format(value, into) {
      if (value !== undefined) into.children.push(element('weight', {}, [String(value)]))
    }
  }),
  devices: custom<BlkioDevice[]>({
    names: [
      [
        'device',
        { all: claim('path', 'weight', 'read_bytes_sec', 'write_bytes_sec', 'read_iops_sec', 'write_iops_sec') }
      ]
    ],
    parse: node => childElements(node, 'device').map(parseDevice),
    format(value, into) {
      for (const device of value) if (hasLimits(device)) into.children.push(formatDevice(device))
    }
  })
} satisfies Fields

export const blkiotuneFields = { blkiotune: gatheredChild('blkiotune', table) } satisfies Fields

function text(node: XmlElement, name: string): string {
  const found = firstChild(node, name)
  return found ? textOf(found) : ''
}

function parseDevice(node: XmlElement): BlkioDevice {
  const path = text(node, 'path')
  if (path === '') throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'missing per-device path')
  const read = <T>(name: string, type: Scalar<T>, none: T): T => {
    const given = text(node, name)
    if (given === '') return none
    const value = type.parse(given)
    if (value !== undefined) return value
    const words = name.replaceAll('_', ' ')
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `could not parse ${words} ${given}`)
  }
  const weight = read('weight', uintWrapping, 0)
  const readBytesSec = read('read_bytes_sec', ulonglongWrapping, 0n)
  const writeBytesSec = read('write_bytes_sec', ulonglongWrapping, 0n)
  const readIopsSec = read('read_iops_sec', uintWrapping, 0)
  return {
    path,
    weight,
    readBytesSec,
    writeBytesSec,
    readIopsSec,
    writeIopsSec: read('write_iops_sec', uintWrapping, 0)
  }
}

const limits = ({ weight, readIopsSec, writeIopsSec, readBytesSec, writeBytesSec }: BlkioDevice) => ({
  weight,
  read_iops_sec: readIopsSec,
  write_iops_sec: writeIopsSec,
  read_bytes_sec: readBytesSec,
  write_bytes_sec: writeBytesSec
})

const hasLimits = (device: BlkioDevice) => Object.values(limits(device)).some(value => Number(value) !== 0)

function formatDevice(device: BlkioDevice): XmlElement {
  const given = Object.entries(limits(device)).filter(([, value]) => Number(value) !== 0)
  return element('device', {}, [
    element('path', {}, [device.path]),
    ...given.map(([name, value]) => element(name, {}, [String(value)]))
  ])
}

/** virDomainDefTunablesValidate. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateBlkiotune({ blkiotune }: DomainDef): void {
  const seen = new Set<string>()
  for (const { path } of blkiotune?.devices ?? []) {
    if (seen.has(path)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `duplicate blkio device path '${path}'`)
    seen.add(path)
  }
}
