// UEFI variable stores: their places, checks, and making.
import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type LoaderDef, usesReadonlyPflash } from '../../../conf/domain/os-firmware.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import {
  isLocalStorage,
  isStorageEmpty,
  type StorageSource,
  type StorageSourceOf
} from '../../../conf/storage/source.ts'
import { runHostCommand } from '../../../host/command.ts'
import { giveTo, type ProcessOwner } from '../../../host/owner.ts'
import { readPlainFile } from '../../../host/plain-file.ts'
import { makePrivateDirectory, writeAtomic } from '../../../state/store.ts'
import { probeFormat, readHeader } from '../block/image-header.ts'
import { validateStorage } from '../block/validate.ts'
import type { QemuContext } from '../context.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Ends of the names of stores by their format. */
const EXTENSIONS = { raw: '.fd', qcow2: '.qcow2' }

/**
 * Gives UEFI whose code is only read its variable store (qemuFirmwareEnsureNVRAM).
 * @param abiUpdate for a new definition: older ones do not follow the name of their template
 */
export function ensureNvram(def: DomainDef, { paths }: QemuContext, abiUpdate: boolean): void {
  const { loader } = def.os
  if (!loader || !usesReadonlyPflash(def) || loader.stateless) return
  const { nvram, nvramTemplate, nvramTemplateFormat, format } = loader
  if (nvram && !isStorageEmpty(nvram.source)) {
    if (format) nvram.source.format ??= format
    return
  }
  const made = nvramTemplateFormat ?? format
  const isNamedRaw = made === 'raw' && abiUpdate && nvramTemplate?.endsWith('.raw')
  const extension = isNamedRaw ? '.raw' : made ? EXTENSIONS[made] : ''
  const path = join(paths.nvramDir, `${def.name}_VARS${extension}`)
  const source: StorageSource = { type: 'file', path, ...(made && { format: made }) }
  loader.nvram = { typed: nvram?.typed ?? false, source }
}

/**
 * Makes the variable store from its template, if it is not there yet or is to be as new (qemuPrepareNVRAM).
 * @throws VIR_ERR_OPERATION_FAILED when no template is known, VIR_ERR_OPERATION_UNSUPPORTED where none can be used,
 * VIR_ERR_INVALID_ARG for a device that is not there, VIR_ERR_SYSTEM_ERROR
 */
export async function makeNvram({ os: { loader } }: DomainDef, reset = false): Promise<void> {
  const source = loader?.nvram?.source
  if (!loader || !source) return
  if (source.type === 'file') makeFile(loader, source, reset)
  else if (source.type === 'block') await makeOnDevice(loader, source, reset)
  else if (reset) {
    throw fail(
      'VIR_ERR_OPERATION_UNSUPPORTED',
      `resetting of nvram is not supported with nvram device backed by '${source.type}'`
    )
  }
}

function makeFile(loader: LoaderDef, source: StorageSourceOf<'file'>, reset: boolean): void {
  const { path } = source
  if (path === undefined || (existsSync(path) && !reset)) return
  const content = contentFor(loader, source)
  makePrivateDirectory(dirname(path))
  writeAtomic(path, content)
}

/**
 * Checks that a variable store is there, or can be made from its template.
 * @throws as makeNvram
 */
export function checkNvram({ os: { loader } }: DomainDef): void {
  const source = loader?.nvram?.source
  if (!loader || !source) return
  if (source.type === 'file' && source.path !== undefined && !existsSync(source.path)) contentFor(loader, source)
  if (source.type === 'block') templateFor(loader, source, false)
}

/** The variables of a store that is to be made. */
function contentFor(loader: LoaderDef, { format }: StorageSourceOf<'file'>): Buffer {
  const { nvramTemplate: template, nvramTemplateFormat: templateFormat } = loader
  if (template === undefined) {
    throw fail('VIR_ERR_OPERATION_FAILED', `unable to find any master var store for loader: ${loader.path}`)
  }
  // a template of the user's own, of no format, is taken as it is
  if (templateFormat && format !== templateFormat) {
    throw fail(
      'VIR_ERR_OPERATION_UNSUPPORTED',
      'conversion of the nvram template to another target format is not supported'
    )
  }
  try {
    return readPlainFile(template)
  } catch (error) {
    throw fail('VIR_ERR_SYSTEM_ERROR', `Failed to open file '${template}': ${(error as Error).message}`, error)
  }
}

/** A device has never the exact size that the firmware looks for: only qcow2, which has its own, can be made on it. */
async function makeOnDevice(loader: LoaderDef, source: StorageSourceOf<'block'>, reset: boolean): Promise<void> {
  const template = templateFor(loader, source, reset)
  if (template === undefined) return
  const { nvramTemplateFormat: format = 'raw' } = loader
  await runHostCommand('qemu-img', ['convert', '-f', format, '-O', 'qcow2', template, source.path!])
}

/** The template of a store that is to be made on a device, undefined for one that is there. */
function templateFor(loader: LoaderDef, source: StorageSourceOf<'block'>, reset: boolean): string | undefined {
  const { path = '', format } = source
  if (!existsSync(path)) throw fail('VIR_ERR_INVALID_ARG', `'block' nvram backing device '${path}' doesn't exist`)
  if (!reset && (format === 'raw' || probeFormat(readHeader(path)) === 'qcow2')) return undefined
  if (format !== 'qcow2') {
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', "only 'qcow2' formatted 'block' nvram backing can be formatted")
  }
  if (loader.nvramTemplate === undefined) {
    throw fail('VIR_ERR_OPERATION_FAILED', 'unable to find nvram template image')
  }
  return loader.nvramTemplate
}

/** Gives the variable store to QEMU's user, even if it was another user's before. @throws VIR_ERR_SYSTEM_ERROR */
export function giveNvram({ os: { loader } }: DomainDef, owner: ProcessOwner): void {
  const source = loader?.nvram?.source
  const path = source?.type === 'file' || source?.type === 'block' ? source.path : undefined
  if (path !== undefined && existsSync(path)) giveTo(realpathSync(path), owner)
}

/** The file a shut-off guest's UEFI variables are in, or would be (qemuDomainUndefineFlags). */
export function nvramFile({ os: { loader } }: DomainDef): string | undefined {
  const source = loader?.nvram?.source
  return source && isLocalStorage(source) ? source.path : undefined
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
  validateStorage(source, false, qemu)
}
