// Cookies that two libvirtd 11.3 gave each other, and what they told QEMU 7.2 before it began, for various options of
// virsh's migrate: test/data/migration.
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { virDomainMigrateFlags } from '../../../../src/conf/enums.ts'
import { parseJson } from '../../../../src/conf/json.ts'
import { migrationParams } from '../../../../src/drivers/migration.ts'
import type { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import {
  COOKIE_FEATURES,
  formatCookie,
  type MigrationCookie,
  parseCookie
} from '../../../../src/drivers/qemu/migration/cookie.ts'
import {
  applySettings,
  checkSettings,
  destinationParams,
  MIB,
  type Parameters,
  type Party,
  SPEED_MAX_MIB,
  settingsFor
} from '../../../../src/drivers/qemu/migration/params.ts'
import { disableTls } from '../../../../src/drivers/qemu/migration/tls.ts'

const DATA = 'test/data/migration'

const textOf = (name: string, text: string) => new RegExp(`<${name}>(.*)</${name}>`).exec(text)![1]!

function read(text: string): MigrationCookie {
  return parseCookie(text, { name: textOf('name', text), uuid: textOf('uuid', text) }, COOKIE_FEATURES)!
}

t.test('cookies', async t => {
  for (const file of readdirSync(`${DATA}/cookie`)) {
    const text = readFileSync(`${DATA}/cookie/${file}`, 'utf8')
    const cookie = read(text)
    // of a lock driver without leases nothing is there but that it must be known
    const told = cookie.mandatory!.includes('lockstate') ? { ...cookie, lockState: { driver: 'nop' } } : cookie
    t.equal(formatCookie(told), text, file)
    t.equal(cookie.unknown, undefined, file)
  }
  t.match(read(readFileSync(`${DATA}/cookie/compressed.xml`, 'utf8')), {
    statistics: { counts: { compression_cache: { value: 67108864n } } }
  })
})

interface Side {
  capabilities: string[]
  parameters: Parameters
}

interface Recorded {
  name: string
  flags: string[]
  params: object
  source: Side
  destination: Side
}

const QEMU_7_2 = read(readFileSync(`${DATA}/cookie/begin.xml`, 'utf8')).capabilities!

/** What a QEMU of that side is told. */
async function told(flags: number, params: object, party: Party): Promise<Side> {
  const given = migrationParams.fromJson(params, 'params')
  const settings = settingsFor(given, flags, party)
  const on = new Set<string>()
  const parameters: Parameters = {}
  const execute = async (command: string, args: Record<string, unknown>) => {
    if (command === 'query-migrate-capabilities') {
      return QEMU_7_2.map(({ name }) => ({ capability: name, state: false }))
    }
    if (command === 'query-migrate-parameters') return { 'tls-creds': '' }
    if (command === 'migrate-set-parameters') Object.assign(parameters, args)
    for (const { capability } of (args.capabilities as { capability: string }[] | undefined) ?? []) on.add(capability)
    return {}
  }
  const domain = { qmp: { execute } } as unknown as QemuDomain
  disableTls(settings, await checkSettings(domain, settings, QEMU_7_2))
  if (party === 'source') settings.parameters['max-bandwidth'] = (given.bandwidth ?? SPEED_MAX_MIB) * MIB
  await applySettings(domain, settings)
  return { capabilities: [...on].sort(), parameters }
}

/** Numbers of any length alike. */
const plain = ({ capabilities, parameters }: Side) => ({
  capabilities,
  parameters: Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, String(value)]))
})

for (const recorded of parseJson(readFileSync(`${DATA}/settings.json`, 'utf8')) as Recorded[]) {
  const { name, params } = recorded
  const flags = recorded.flags.reduce(
    (bits, flag) => bits | virDomainMigrateFlags[`VIR_MIGRATE_${flag}` as keyof typeof virDomainMigrateFlags],
    0
  )
  t.test(name, async t => {
    t.same(plain(await told(flags, params, 'source')), plain(recorded.source))
    const given = migrationParams.fromJson(params, 'params')
    const isPeer = (flags & virDomainMigrateFlags.VIR_MIGRATE_PEER2PEER) !== 0
    const other = isPeer ? destinationParams(settingsFor(given, flags, 'source'), given, flags) : { flags, params }
    t.same(plain(await told(other.flags, other.params, 'destination')), plain(recorded.destination))
  })
}
