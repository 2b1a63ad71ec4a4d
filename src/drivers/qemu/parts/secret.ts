// Secrets on the command line: encrypted with a master key that only QEMU and we can read (qemuDomainSecretInfoSetup).
import { createCipheriv, randomBytes } from 'node:crypto'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorsFrom } from '../../../conf/error.ts'
import { giveTo, type ProcessOwner } from '../../../host/owner.ts'
import type { Builder } from './builder.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const MASTER_KEY_ID = 'masterKey0'
/** Bytes of the initialization vector of each secret, as AES in CBC mode has it. */
const IV_LEN = 16

/** The file of the master key; it is written when the guest starts, if the command line needs it. */
export function masterKeyFile(libDir: string): string {
  return join(libDir, 'master-key.aes')
}

/** Writes that file, for QEMU's user alone. @throws VIR_ERR_SYSTEM_ERROR */
export function writeMasterKey(file: string, key: Uint8Array, owner: ProcessOwner): void {
  try {
    rmSync(file, { force: true })
    writeFileSync(file, key, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    throw fail(
      'VIR_ERR_SYSTEM_ERROR',
      `failed to write domain master key file '${file}': ${(error as Error).message}`,
      error
    )
  }
  giveTo(file, owner)
}

/** Reads it again for a QEMU that runs; undefined if that was given none. */
export function readMasterKey(file: string): Uint8Array | undefined {
  try {
    return readFileSync(file)
  } catch {
    return undefined
  }
}

/** -object of the master key, before everything that may refer to it (qemuBuildMasterKeyCommandLine). */
export function masterKeyArgs(to: Builder): void {
  to.object({
    'qom-type': 'secret',
    id: MASTER_KEY_ID,
    format: 'raw',
    file: masterKeyFile(to.context.paths.libDir)
  })
}

/** -object of one secret (qemuBuildSecretInfoProps). */
export function addSecret(to: Builder, id: string, value: Uint8Array): void {
  const iv = randomBytes(IV_LEN)
  const cipher = createCipheriv('aes-256-cbc', to.masterKey, iv)
  const data = Buffer.concat([cipher.update(value), cipher.final()])
  to.object({
    'qom-type': 'secret',
    id,
    data: data.toString('base64'),
    keyid: MASTER_KEY_ID,
    iv: iv.toString('base64'),
    format: 'base64'
  })
}
