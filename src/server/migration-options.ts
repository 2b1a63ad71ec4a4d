// Options for guests that move, of shims and aggregator alike: those of qemu.conf, by its names with dashes. The aggregator
// hands its own on to the shims it starts.
import { resolve } from 'node:path'
import { uuid } from '../conf/scalar.ts'
import { DEFAULT_CONFIG, type QemuConfig } from '../drivers/qemu/context.ts'
import { UsageError } from './usage-error.ts'

/** One option; its text, as the command line has it. */
interface MigrationOption<K extends keyof QemuConfig> {
  key: K
  /** what stands for its value in the usage; absent: it has none */
  value?: string
  usage: string
  /** undefined for what it cannot be */
  read(text: string): QemuConfig[K] | undefined
  /** what it must be */
  must?: string
}

const option = <K extends keyof QemuConfig>(of: MigrationOption<K>) => of

const isLocal = (host: string) => /^(localhost|127\.|::1$)/i.test(host)
/** The address of an interface, or the name of a host, that others can reach. */
const reachable = (text: string) => {
  const host = text.replace(/^\[(.*)\]$/, '$1')
  return host === '' || isLocal(host) ? undefined : host
}
const portNumber = (text: string) =>
  /^\d{1,5}$/.test(text) && Number(text) > 0 && Number(text) < 65536 ? Number(text) : undefined

const LOCAL = 'must not be the address of the local machine'

/** By their names. */
const OPTIONS = {
  'migrate-tls-x509-cert-dir': option({
    key: 'migrateTlsX509CertDir',
    value: 'DIR',
    usage: 'certificates of encrypted migrations (/etc/pki/libvirt-migrate if it is there, /etc/pki/qemu)',
    read: text => resolve(text)
  }),
  'migrate-tls-x509-verify': option({
    key: 'migrateTlsX509Verify',
    value: 'yes|no',
    usage: 'whether sources must have a certificate (yes)',
    read: text => ({ yes: true, no: false })[text],
    must: 'is neither yes nor no'
  }),
  'migrate-tls-x509-secret-uuid': option({
    key: 'migrateTlsX509SecretUuid',
    value: 'UUID',
    usage: "secret of the certificates' key",
    read: text => uuid.parse(text),
    must: 'is no uuid'
  }),
  'migrate-tls-priority': option({
    key: 'migrateTlsPriority',
    value: 'STRING',
    usage: "GnuTLS's priorities for them",
    read: text => text
  }),
  'migrate-tls-force': option({
    key: 'migrateTlsForce',
    usage: 'refuse migrations that are not encrypted',
    read: () => true
  }),
  'migration-address': option({
    key: 'migrationAddress',
    value: 'ADDRESS',
    usage: 'where guests are waited for (all addresses of this host)',
    read: reachable,
    must: LOCAL
  }),
  'migration-host': option({
    key: 'migrationHost',
    value: 'HOST',
    usage: "name or address by which sources find this host (the host's own name)",
    read: reachable,
    must: LOCAL
  }),
  'migration-port-min': option({
    key: 'migrationPortMin',
    value: 'PORT',
    usage: `first port for guests that come (${DEFAULT_CONFIG.migrationPortMin})`,
    read: portNumber,
    must: 'is no port'
  }),
  'migration-port-max': option({
    key: 'migrationPortMax',
    value: 'PORT',
    usage: `last port for them (${DEFAULT_CONFIG.migrationPortMax})`,
    read: portNumber,
    must: 'is no port'
  })
}

type Name = keyof typeof OPTIONS
const NAMES = Object.keys(OPTIONS) as Name[]

/** The settings that were given. */
export type MigrationConfig = Partial<QemuConfig>

type Values = { [N in Name]?: string | boolean | undefined }

/** The options, for parseArgs. */
export const migrationOptions = Object.fromEntries(
  NAMES.map(name => [name, { type: 'value' in OPTIONS[name] ? 'string' : 'boolean' }])
) as { [N in Name]: { type: 'string' } }

/** Their lines of the usage. */
export const MIGRATION_USAGE = NAMES.map(name => {
  const { value, usage } = OPTIONS[name] as MigrationOption<keyof QemuConfig>
  const words = `  --${name}${value === undefined ? '' : ` ${value}`}`
  return words.length < 26 ? `${words.padEnd(26)}${usage}\n` : `${words}\n${' '.repeat(26)}${usage}\n`
}).join('')

/** Reads those that were given. @throws UsageError */
export function readMigrationConfig(values: Values): MigrationConfig {
  const config: MigrationConfig = {}
  for (const name of NAMES) {
    const given = values[name]
    if (given === undefined) continue
    const { key, read, must } = OPTIONS[name] as MigrationOption<keyof QemuConfig>
    const value = read(String(given))
    if (value === undefined) throw new UsageError(`--${name}: '${given}' ${must}`)
    Object.assign(config, { [key]: value })
  }
  const { migrationPortMin: first, migrationPortMax: last } = { ...DEFAULT_CONFIG, ...config }
  if (last < first) throw new UsageError(`--migration-port-max: ${last} is below the first port, ${first}`)
  return config
}

/** The command line's words for what was given. */
export const migrationWords = (config: MigrationConfig): string[] =>
  NAMES.flatMap(name => {
    const { key, value } = OPTIONS[name] as MigrationOption<keyof QemuConfig>
    const set = config[key]
    if (set === undefined) return []
    if (value === undefined) return set === true ? [`--${name}`] : []
    return [`--${name}=${typeof set === 'boolean' ? (set ? 'yes' : 'no') : set}`]
  })
