// Encryption of a migration: x509 credentials in QEMU, on either side, for as long as it takes
// (qemuMigrationParamsEnableTLS).
import { X509Certificate } from 'node:crypto'
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { errorsFrom } from '../../../conf/error.ts'
import { checkAll, type Refuse } from '../../../conf/refuse.ts'
import type { QemuConfig, QemuContext } from '../context.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { newPlug } from '../hotplug/live-guest.ts'
import type { ObjectProps } from '../parts/builder.ts'
import { addSecret } from '../parts/secret.ts'
import type { MigrationSettings, Parameters, Party } from './params.ts'

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
  const { migrateTlsX509Verify: verify, migrateTlsX509SecretUuid: uuid, migrateTlsPriority: priority } = context.config
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
    passwordid: uuid === undefined ? undefined : SECRET_ALIAS,
    priority
  }
  plug.object(credentials)
  // an earlier migration may have left some
  await dropTls(domain)
  await plug.execute(qmp, err => log.warn({ err }, 'the secret of a migration is left in QEMU'))
  settings.parameters['tls-creds'] = ALIAS
  settings.parameters['tls-hostname'] ??= hostname
  return ALIAS
}

/**
 * Looks at the certificates that QEMU is going to read, as it does then.
 * @param name that the source is going to check a destination's certificate by
 * @throws VIR_ERR_NO_SECRET, and what `refuse` throws: VIR_ERR_INTERNAL_ERROR
 */
export function checkCertificates({ config, secrets }: QemuContext, party: Party, refuse: Refuse, name?: string): void {
  const { migrateTlsX509SecretUuid: uuid } = config
  const dir = certificates(config)
  const path = (file: string) => join(dir, `${file}.pem`)
  const kind = party === 'source' ? 'client' : 'server'
  const files = ['ca-cert', `${kind}-cert`, `${kind}-key`].map(path) as [string, string, string]
  const [ca, own, key] = files
  // a client may be without a certificate of its own
  const isOptional = party === 'source' && !existsSync(own) && !existsSync(key)
  checkAll(refuse, [
    ...(isOptional ? [ca] : files).map(file => () => checkReadable(file)),
    () => checkCertificate(ca, 'CA'),
    () => {
      if (isOptional) return
      const certificate = checkCertificate(own, kind)
      if (certificate && existsSync(ca)) checkIssuer(certificate, { own, ca, kind })
      if (certificate && name !== undefined) checkName(certificate, name)
    },
    () => {
      if (uuid !== undefined) secrets.value('tls', { uuid })
    }
  ])
}

const refused = (message: string, cause?: unknown) => fail('VIR_ERR_INTERNAL_ERROR', message, cause)

function checkReadable(path: string): void {
  try {
    accessSync(path, constants.R_OK)
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code !== 'ENOENT'
    const why = isThere ? 'Permission denied' : 'No such file or directory'
    throw refused(`Unable to access credentials ${path}: ${why}`, error)
  }
}

/** The certificates of a file. @throws VIR_ERR_INTERNAL_ERROR for what is none */
function certificatesIn(path: string): X509Certificate[] {
  try {
    const blocks = readFileSync(path, 'utf8').match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g)
    return (blocks ?? ['']).map(block => new X509Certificate(block))
  } catch (error) {
    throw refused(`Unable to import certificate ${path}`, error)
  }
}

/** The first certificate of a file, which must be of now; undefined for one that is not there. */
function checkCertificate(path: string, kind: string): X509Certificate | undefined {
  if (!existsSync(path)) return undefined
  const [certificate] = certificatesIn(path)
  const { validFrom, validTo } = certificate!
  const what = `The ${kind} certificate ${path}`
  if (Date.parse(validTo) < Date.now()) throw refused(`${what} has expired`)
  if (Date.parse(validFrom) > Date.now()) throw refused(`${what} is not yet active`)
  return certificate
}

/** A certificate that comes with others is left to QEMU: they may lead to the authority's. */
function checkIssuer(certificate: X509Certificate, { own, ca, kind }: { own: string; ca: string; kind: string }): void {
  if (certificatesIn(own).length > 1) return
  const isOf = (authority: X509Certificate) =>
    certificate.checkIssued(authority) && certificate.verify(authority.publicKey)
  if (certificatesIn(ca).some(isOf)) return
  throw refused(`Unable to verify ${kind} certificate ${own} against CA certificate ${ca}: it is not issued by that`)
}

function checkName(certificate: X509Certificate, name: string): void {
  const isOf = isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)
  if (isOf === undefined) throw refused(`Certificate does not match the hostname ${name}`)
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
