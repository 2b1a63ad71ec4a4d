// UEFI variable stores: their places, checks, and making.
import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { NvramDef } from '../../../conf/domain/os-firmware.ts'
import { usesReadonlyPflash } from '../../../conf/domain/os-firmware.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { isLocalStorage } from '../../../conf/storage/source.ts'
import { giveTo, type ProcessOwner } from '../../../host/owner.ts'
import { readPlainFile } from '../../../host/plain-file.ts'
import { makePrivateDirectory, writeAtomic } from '../../../state/store.ts'
import { validateStorage } from '../block/validate.ts'
import type { QemuContext } from '../context.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Templates of images that no descriptor speaks of; libvirt's built-in list (DEFAULT_LOADER_NVRAM). */
const KNOWN_TEMPLATES: Record<string, string> = {
  '/usr/share/OVMF/OVMF_CODE.fd': '/usr/share/OVMF/OVMF_VARS.fd',
  '/usr/share/OVMF/OVMF_CODE.secboot.fd': '/usr/share/OVMF/OVMF_VARS.fd',
  '/usr/share/AAVMF/AAVMF_CODE.fd': '/usr/share/AAVMF/AAVMF_VARS.fd',
  '/usr/share/AAVMF/AAVMF32_CODE.fd': '/usr/share/AAVMF/AAVMF32_VARS.fd'
}

/** The variable store of a guest that names none (qemuDomainNVRAMPathFormat). */
export function defaultNvram({ name }: DomainDef, { paths }: QemuContext): NvramDef {
  return { typed: false, source: { type: 'file', path: join(paths.nvramDir, `${name}_VARS.fd`) } }
}

/** Gives UEFI in read-only flash its variable store. */
export function postParseNvram(def: DomainDef, context: QemuContext): void {
  const { loader } = def.os
  if (loader && usesReadonlyPflash(def) && !loader.stateless) loader.nvram ??= defaultNvram(def, context)
}

/** The host path of a store, undefined for one over the network. */
function nvramPath(nvram: NvramDef | undefined): string | undefined {
  const source = nvram?.source
  return source?.type === 'file' || source?.type === 'block' ? source.path : undefined
}

/** True if the store needs no template: it is there, or out of our sight. */
export function nvramExists(nvram: NvramDef | undefined): boolean {
  if (!nvram) return false
  const path = nvramPath(nvram)
  return path === undefined || existsSync(path)
}

/**
 * Makes the variable store from its template, if it is not there yet or is to be as new (qemuPrepareNVRAM).
 * @throws VIR_ERR_OPERATION_FAILED when no template is known, VIR_ERR_SYSTEM_ERROR
 */
export function makeNvram({ os: { loader } }: DomainDef, reset = false): void {
  const path = nvramPath(loader?.nvram)
  if (!loader || path === undefined || (existsSync(path) && !reset)) return
  const template = loader.nvramTemplate ?? KNOWN_TEMPLATES[loader.path ?? '']
  if (template === undefined) {
    throw fail('VIR_ERR_OPERATION_FAILED', `unable to find any master var store for loader: ${loader.path}`)
  }
  let content: Buffer
  try {
    content = readPlainFile(template)
  } catch (error) {
    throw fail('VIR_ERR_SYSTEM_ERROR', `Failed to open file '${template}': ${(error as Error).message}`, error)
  }
  makePrivateDirectory(dirname(path))
  writeAtomic(path, content)
}

/** Gives the variable store to QEMU's user, even if it was another user's before. @throws VIR_ERR_SYSTEM_ERROR */
export function giveNvram({ os: { loader } }: DomainDef, owner: ProcessOwner): void {
  const path = nvramPath(loader?.nvram)
  if (path !== undefined && existsSync(path)) giveTo(realpathSync(path), owner)
}

/** The file a shut-off guest's UEFI variables are in, or would be (qemuDomainUndefineFlags). */
export function nvramFile(def: DomainDef, context: QemuContext): string | undefined {
  const { nvram } = def.os.loader ?? {}
  if (nvram && isLocalStorage(nvram.source)) return nvram.source.path
  return def.os.firmware === 'efi' ? nvramPath(defaultNvram(def, context)) : undefined
}

/** The storage a variable store may lie on (qemuValidateDomainDefNvram). @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateNvram({ os }: DomainDef, { qemu }: QemuContext): void {
  const source = os.loader?.nvram?.source
  if (!source) return
  const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
  if (!['file', 'block', 'network'].includes(source.type))
    throw unsupported(`unsupported nvram disk type '${source.type}'`)
  if (source.slice) throw unsupported('slices are not supported with NVRAM')
  if (source.reservations) throw unsupported('persistent reservations are not supported with NVRAM')
  validateStorage({ ...source, format: 'raw' }, false, qemu)
}
