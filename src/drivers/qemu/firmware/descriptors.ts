// Firmware descriptors: JSON files about the firmware images of a host (QEMU's docs/interop/firmware.json).
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { architecture } from '../../../conf/domain/os-type.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const INTERFACES = ['bios', 'openfirmware', 'uboot', 'uefi'] as const
const FLASH_MODES = ['split', 'combined', 'stateless'] as const
/** QEMU's names of architectures where libvirt's differ */
const ARCH_NAMES: Record<string, string> = { i386: 'i686', arm: 'armv7l', or32: 'openrisc' }

const DESCRIPTOR_MAX_BYTES = 1024 ** 2

export interface FlashFile {
  filename: string
  format: string
}

/** The firmware's way into the guest: flash devices, kernel or memory. */
export type FirmwareMapping =
  | { device: 'flash'; mode: (typeof FLASH_MODES)[number]; executable: FlashFile; nvramTemplate?: FlashFile }
  | { device: 'kernel' | 'memory'; filename: string }

export interface FirmwareDescriptor {
  interfaces: (typeof INTERFACES)[number][]
  mapping: FirmwareMapping
  targets: { arch: string; machines: string[] }[]
  features: Set<string>
}

type Json = Record<string, unknown>
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const stringAt = (doc: unknown, key: string) => {
  const value = isObject(doc) ? doc[key] : undefined
  return typeof value === 'string' ? value : undefined
}
const arrayAt = (doc: unknown, key: string) => {
  const value = isObject(doc) ? doc[key] : undefined
  return Array.isArray(value) ? (value as unknown[]) : undefined
}

/**
 * One descriptor (qemuFirmwareParse).
 * @throws VIR_ERR_INTERNAL_ERROR for files of another form
 */
export function parseDescriptor(text: string, path: string): FirmwareDescriptor {
  const wrong = (message: string, cause?: unknown) => fail('VIR_ERR_INTERNAL_ERROR', message, cause)
  let doc: unknown
  try {
    doc = JSON.parse(text)
  } catch (error) {
    throw wrong(`unable to parse json file '${path}'`, error)
  }
  const arrayOf = (from: unknown, key: string, message: string) => {
    const found = arrayAt(from, key)
    if (!found) throw wrong(message)
    return found
  }
  const stringOf = (from: unknown, key: string, message = `missing '${key}' in '${path}'`) => {
    const found = stringAt(from, key)
    if (found === undefined) throw wrong(message)
    return found
  }
  const fileOf = (from: unknown, key: string): FlashFile => {
    const file = isObject(from) ? from[key] : undefined
    if (file === undefined) throw wrong(`missing '${key}' in '${path}'`)
    return { filename: stringOf(file, 'filename'), format: stringOf(file, 'format') }
  }

  const interfaces = arrayOf(doc, 'interface-types', `failed to get interface-types from '${path}'`).map(name => {
    const known = INTERFACES.find(one => one === name)
    if (!known) throw wrong(`unknown interface type: '${name}'`)
    return known
  })

  const mapping = isObject(doc) ? doc.mapping : undefined
  if (mapping === undefined) throw wrong(`missing mapping in '${path}'`)
  const device = stringOf(mapping, 'device', `missing device type in '${path}'`)
  let mapped: FirmwareMapping
  if (device === 'flash') {
    const given = isObject(mapping) ? mapping.mode : undefined
    const mode = given === undefined ? 'split' : FLASH_MODES.find(one => one === given)
    if (!mode) throw wrong(`Firmware flash mode value '${given}' unexpected`)
    const executable = fileOf(mapping, 'executable')
    mapped = { device, mode, executable, ...(mode === 'split' && { nvramTemplate: fileOf(mapping, 'nvram-template') }) }
  } else if (device === 'kernel' || device === 'memory') mapped = { device, filename: stringOf(mapping, 'filename') }
  else throw wrong(`unknown device type in '${path}'`)

  const targets = arrayOf(doc, 'targets', `failed to get targets from '${path}'`).map(target => {
    const name = stringOf(target, 'architecture')
    const arch = ARCH_NAMES[name] ?? name
    if (!architecture.values.some(one => one === arch)) throw wrong(`unknown architecture '${name}'`)
    const machines = arrayOf(target, 'machines', `missing 'machines' in '${path}'`)
    return { arch, machines: machines.map(String) }
  })
  const features = arrayOf(doc, 'features', `failed to get features from '${path}'`)
  return { interfaces, mapping: mapped, targets, features: new Set(features.map(String)) }
}

/** The part of the surroundings that tells the directories of descriptors. */
export type FirmwarePlaces = Pick<QemuContext, 'config' | 'privileged'>

/** The directories to look in, the one that counts most first. */
function directories({ config, privileged }: FirmwarePlaces): string[] {
  if (privileged) return [...config.firmwareDirs]
  const home = process.env.XDG_CONFIG_HOME || join(homedir(), '.config')
  return [join(home, 'qemu/firmware'), ...config.firmwareDirs]
}

/**
 * All descriptors in the order of their file names. A file hides those of its name in directories that count less, an
 * empty one hides without taking their place; one of another form only hides too (qemuFirmwareFetchParsedConfigs).
 * @throws VIR_ERR_SYSTEM_ERROR for directories that cannot be read
 */
export function readDescriptors(context: FirmwarePlaces): FirmwareDescriptor[] {
  const files = new Map<string, string>()
  for (const directory of directories(context).reverse()) {
    for (const name of listDirectory(directory)) {
      if (!name.startsWith('.') && statSync(join(directory, name)).isFile()) files.set(name, join(directory, name))
    }
  }
  const names = [...files.keys()].sort()
  return names.flatMap(name => readDescriptor(files.get(name)!) ?? [])
}

function readDescriptor(path: string): FirmwareDescriptor | undefined {
  try {
    if (statSync(path).size <= DESCRIPTOR_MAX_BYTES) return parseDescriptor(readFileSync(path, 'utf8'), path)
  } catch {
    // libvirt tells of it where it debugs only
  }
  return undefined
}

function listDirectory(path: string): string[] {
  try {
    return readdirSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw fail('VIR_ERR_SYSTEM_ERROR', `cannot open directory '${path}': ${(error as Error).message}`, error)
  }
}
