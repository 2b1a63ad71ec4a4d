// <tpm>: QEMU's defaults, checks and arguments.
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { ChardevSource } from '../../../../conf/devices/chardev-source.ts'
import type { TpmBackend, TpmDef } from '../../../../conf/devices/tpm.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { swtpmVersions } from '../../../../host/swtpm.ts'
import type { Qemu } from '../../capabilities/qemu.ts'
import type { Capability } from '../../capabilities/signs.ts'
import type { QemuContext } from '../../context.ts'
import { isArmVirt, isPpc64, isX86 } from '../../machine-type.ts'
import { addressProps } from '../../parts/address.ts'
import { atStart, type Builder } from '../../parts/builder.ts'
import { keyValue, type Props } from '../../parts/props.ts'
import { addChardev } from '../chardev/backend.ts'
import type { QemuFamily } from '../family.ts'
import { swtpm } from './swtpm.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** QEMU's capability for each model. */
const MODELS: Record<NonNullable<TpmDef['model']>, Capability> = {
  'tpm-tis': 'tpm-tis',
  'tpm-crb': 'tpm-crb',
  'tpm-spapr': 'tpm-spapr',
  'spapr-tpm-proxy': 'spapr-tpm-proxy'
}

export const qemuTpm: QemuFamily<TpmDef> = {
  postParse(dev, def) {
    dev.model ??= isPpc64(def) ? 'tpm-spapr' : 'tpm-tis'
    if (dev.backend.type !== 'emulator') return
    const modern = dev.model === 'tpm-spapr' || dev.model === 'tpm-crb' || isArmVirt(def)
    dev.backend.version ??= modern ? '2.0' : '1.2'
  },
  validate({ model = 'tpm-tis', backend }, def, { qemu }) {
    validateVersion(model, backend, def)
    const refuse = (what: string) =>
      fail('VIR_ERR_CONFIG_UNSUPPORTED', `The QEMU executable ${def.devices.emulator} does not support TPM ${what}`)
    if (!hasBackend(backend, qemu)) throw refuse(`backend type ${backend.type}`)
    if (isPpc64(def) && model === 'spapr-tpm-proxy' && backend.type !== 'passthrough') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `TPM Proxy model ${model} requires 'Passthrough' backend`)
    }
    if (!qemu.has(MODELS[model])) throw refuse(`model ${model}`)
  },
  add: addTpm,
  host: swtpm
}

/** External TPMs are emulators as well: libvirt asks for swtpm on this host for both. */
function hasBackend({ type }: TpmBackend, qemu: Qemu): boolean {
  return type === 'passthrough'
    ? qemu.has('tpm-passthrough')
    : qemu.has('tpm-emulator') && swtpmVersions() !== undefined
}

function validateVersion(model: string, backend: TpmBackend, def: DomainDef): void {
  if (backend.type !== 'emulator') return
  const { version = '1.2' } = backend
  if (!swtpmVersions()?.includes(version)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `TPM version '${version}' is not supported`)
  }
  if (version !== '1.2') return
  if (model !== 'tpm-tis') {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `TPM 1.2 is not supported for model '${model}'`)
  }
  if (!isX86(def)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `TPM 1.2 is not supported on architecture '${def.os.arch}'`)
  }
}

/** One TPM, and on pSeries one proxy beside it (qemuValidateDomainDefTPMs). */
export function validateTpms({ devices: { tpms } }: DomainDef): void {
  const proxies = tpms.filter(({ model }) => model === 'spapr-tpm-proxy').length
  if (proxies > 1) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'only a single TPM Proxy device is supported')
  if (tpms.length - proxies > 1) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'only a single TPM non-proxy device is supported')
  }
}

/** File by which the kernel is asked to give up a command; /dev/null if it has none (virTPMCreateCancelPath). */
function cancelPath(device: string): string {
  if (!device.includes('/')) throw fail('VIR_ERR_INTERNAL_ERROR', `TPM device path ${device} is invalid`)
  const candidates = ['misc', 'tpm'].map(kind => join('/sys/class', kind, basename(device), 'device/cancel'))
  return candidates.find(path => existsSync(path)) ?? '/dev/null'
}

/** Opens the device and what gives up its commands for QEMU (qemuBuildTPMOpenBackendFDs). */
function passTpm(to: Builder, { alias }: TpmDef, device: string): Props {
  const cancel = cancelPath(device)
  const path = to.fd({ name: `${alias}-tpm`, path: device, set: true })
  if (path === undefined) {
    throw fail('VIR_ERR_SYSTEM_ERROR', `Could not open TPM device ${device}: No such file or directory`)
  }
  const cancelled = to.fd({ name: `${alias}-cancel`, path: cancel, set: true })
  if (cancelled === undefined) {
    throw fail('VIR_ERR_SYSTEM_ERROR', `Could not open TPM device's cancel path ${cancel}: Permission denied`)
  }
  return { path, 'cancel-path': cancelled }
}

/** -device of the guest's side. */
function addTpmDevice(to: Builder, dev: TpmDef): void {
  const { model = 'tpm-tis', alias } = dev
  const driver = model === 'tpm-tis' && !isX86(to.def) ? 'tpm-tis-device' : model
  to.device({ driver, tpmdev: `tpm-${alias}`, id: alias, ...addressProps(to, dev) })
}

const CHARDEV = 'chrtpm'

/** The emulator's socket, which it has once it has been started. */
const swtpmSource = ({ pretend, paths }: QemuContext): ChardevSource =>
  pretend ? { type: 'null' } : { type: 'unix', mode: 'connect', path: paths.swtpmSocket }

/** QEMU has no command for what is behind a TPM. */
function addTpm(to: Builder, dev: TpmDef): void {
  const { model, alias, backend } = dev
  if (model === 'spapr-tpm-proxy') {
    const path = backend.type === 'passthrough' ? backend.path : undefined
    to.device({ driver: model, id: alias, 'host-path': path })
    return
  }
  const options = atStart(to, 'tpm')
  if (backend.type === 'passthrough') {
    const paths = passTpm(to, dev, backend.path)
    options.add('-tpmdev', keyValue('passthrough', { id: `tpm-${alias}`, ...paths }))
  } else {
    addChardev(to, backend.type === 'external' ? backend.source : swtpmSource(to.context), CHARDEV)
    options.add('-tpmdev', keyValue('emulator', { id: `tpm-${alias}`, chardev: CHARDEV }))
  }
  addTpmDevice(to, dev)
}
