// Encryption of a migration: x509 credentials in QEMU, on either side, for as long as it takes
// (qemuMigrationParamsEnableTLS).
import { existsSync } from 'node:fs'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuConfig } from '../context.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { newPlug } from '../hotplug/live-guest.ts'
import type { ObjectProps } from '../parts/builder.ts'
import { addSecret } from '../parts/secret.ts'
import type { MigrationSettings, Parameters } from './params.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const ALIAS = 'objlibvirt_migrate_tls0'
const SECRET_ALIAS = 'libvirt_migrate-secret0'

/** Certificates of migrations alone, where there are any; otherwise those of all (SET_TLS_X509_CERT_DEFAULT). */
const OWN_DIRECTORY = '/etc/pki/libvirt-migrate'

const certificates = ({ migrateTlsX509CertDir: given }: QemuConfig): string =>
  given ?? (existsSync(OWN_DIRECTORY) ? OWN_DIRECTORY : '/etc/pki/qemu')

/**
 * Gives QEMU the credentials, and has its next migration use them; dropTls takes them away again.
 * @param original QEMU's parameters before the migration
 * @param hostname of the destination, by which its certificate is checked, where QEMU does not connect by itself;
 *   `tls.destination` comes first
 * @returns the credentials' id, for the NBD server and its clients
 * @throws VIR_ERR_OPERATION_UNSUPPORTED, VIR_ERR_NO_SECRET, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
export async function enableTls(
  domain: QemuDomain,
  settings: MigrationSettings,
  original: Parameters,
  hostname = ''
): Promise<string> {
  const { context, qmp, log } = domain
  const { migrateTlsX509Verify: verify, migrateTlsX509SecretUuid: uuid } = context.config
  if (original['tls-creds'] === undefined) {
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'TLS migration is not supported with this QEMU binary')
  }
  const isServer = settings.party === 'destination'
  const plug = newPlug(domain, context)
  if (uuid !== undefined) addSecret(plug, SECRET_ALIAS, context.secrets.value('tls', { uuid }))
  const credentials: ObjectProps = {
    'qom-type': 'tls-creds-x509',
    id: ALIAS,
    dir: certificates(context.config),
    endpoint: isServer ? 'server' : 'client',
    'verify-peer': isServer ? verify : true,
    passwordid: uuid === undefined ? undefined : SECRET_ALIAS
  }
  plug.object(credentials)
  // an earlier migration may have left some
  await dropTls(domain)
  await plug.execute(qmp, err => log.warn({ err }, 'the secret of a migration is left in QEMU'))
  settings.parameters['tls-creds'] = ALIAS
  settings.parameters['tls-hostname'] ??= hostname
  return ALIAS
}

/** Has QEMU's next migration go unencrypted (qemuMigrationParamsDisableTLS). */
export function disableTls({ parameters }: MigrationSettings, original: Parameters): void {
  if (original['tls-creds'] === undefined) return
  parameters['tls-creds'] = ''
  parameters['tls-hostname'] = ''
}

/** The host name by which the destination's certificate is checked; undefined for that it is connected to by. */
export const tlsHostname = ({ parameters }: MigrationSettings): string | undefined =>
  parameters['tls-hostname'] || undefined

/** Takes the credentials away, if there are any (qemuMigrationParamsResetTLS). */
export async function dropTls(domain: QemuDomain): Promise<void> {
  if (!domain.isActive) return
  const { qmp, context } = domain
  const ids = [ALIAS, ...(context.config.migrateTlsX509SecretUuid === undefined ? [] : [SECRET_ALIAS])]
  for (const id of ids) await qmp.execute('object-del', { id }).catch(() => undefined)
}
