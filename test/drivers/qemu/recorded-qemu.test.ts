// Command lines for QEMUs that are not here, from recordings of what they answer a probe: nothing is told that such a
// QEMU does not know, and a QEMU nobody has seen yet is told the same as the newest known.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { VirError } from '../../../src/conf/error.ts'
import { indexSchema, type Schema, type SchemaEntry } from '../../../src/drivers/qemu/capabilities/qapi-schema.ts'
import { qemuCapabilities } from '../../../src/drivers/qemu/capabilities/qemu.ts'
import { buildCommand } from '../../../src/drivers/qemu/command/index.ts'
import { loadDomain, prepareNative } from '../../../src/drivers/qemu/definition/passes.ts'
import { testContext } from '../../helper/definition.ts'
import { type Replies, recordedQemu, recordedReplies } from '../../helper/recorded-qemu.ts'

t.setTimeout(240_000)

const SOURCES = 'test/data/domain'
/** Files that name QEMU's arguments themselves: what they say is not ours. */
const OWN_WORDS = /<qemu:(arg|property)\b/

const dir = mkdtempSync(join(tmpdir(), 'virshim-recorded-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

type Lines = Map<string, string[] | string>

/** Words with what is made up at random blotted out: uuids, MAC addresses, what is encrypted. */
const steady = (argv: readonly string[]) =>
  argv.map(word =>
    word
      .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'UUID')
      .replace(/52:54:00(:[0-9a-f]{2}){3}/g, 'MAC')
      .replace(/"(data|iv)":"[^"]*"/g, '"$1":""')
  )

/** The arguments of every file's guest, or the error it is refused with. */
async function commandLines(name: string, replies: Replies): Promise<Lines> {
  const binary = recordedQemu(dir, name, replies)
  const cache = join(dir, `${name}.cache`)
  const lines: Lines = new Map()
  for (const file of readdirSync(SOURCES).sort()) {
    const xml = readFileSync(join(SOURCES, file), 'utf8')
    try {
      const { def, context } = await loadDomain(xml, async ({ type }) => {
        return testContext({ qemu: { ...(await qemuCapabilities(binary, cache, type)), binary: '/usr/bin/qemu' } })
      })
      lines.set(file, steady(buildCommand(def, prepareNative(def, context)).argv.slice(1)))
    } catch (error) {
      if (!(error instanceof VirError)) throw new Error(`${file} with ${name}`, { cause: error })
      lines.set(file, `${error.code}: ${error.message}`)
    }
  }
  return lines
}

/** Values of an option, in their order. */
const valuesOf = (argv: readonly string[], option: string) => argv.filter((_, i) => argv[i - 1] === option)

/** The keys of a value in either of QEMU's forms, and its first word or the value of `head`. */
function parsed(text: string, head: string): { head: string; keys: string[] } {
  if (text.startsWith('{')) {
    const value = JSON.parse(text)
    return { head: value[head], keys: Object.keys(value).filter(key => key !== head) }
  }
  const [first, ...rest] = text.replaceAll(',,', '').split(',')
  return { head: first!.replace(`${head}=`, ''), keys: rest.map(word => word.split('=')[0]!) }
}

/** QEMU's names of the JSON types that a value may pass for. */
const jsonTypes = (value: unknown): string[] => [
  value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value,
  ...(typeof value === 'number' && Number.isInteger(value) ? ['int'] : []),
  'value'
]

/** What QEMU would not take of a value of its own types, as paths of members. */
function strangers(schema: Schema, type: string, value: unknown, path: string): string[] {
  const entry = schema.get(type)!
  switch (entry['meta-type']) {
    case 'array':
      return (value as unknown[]).flatMap(one => strangers(schema, entry['element-type']!, one, path))
    case 'enum':
      return entry.values!.includes(value as string) ? [] : [`${path}=${value}`]
    case 'alternate': {
      const found = entry.members!.map(member => strangers(schema, member.type, value, path))
      return found.sort((a, b) => a.length - b.length)[0]!
    }
    case 'object': {
      if (typeof value !== 'object' || value === null) return [`${path}=${value}`]
      const { tag } = entry as { tag?: string }
      const chosen = entry.variants?.find(one => one.case === (value as Record<string, unknown>)[tag!])
      const members = new Map(
        [entry, ...(chosen ? [schema.get(chosen.type)!] : [])].flatMap(one =>
          (one.members ?? []).map(member => [member.name, member.type])
        )
      )
      return Object.entries(value).flatMap(([name, inner]) => {
        const memberType = members.get(name)
        return memberType === undefined ? [`${path}.${name}`] : strangers(schema, memberType, inner, `${path}.${name}`)
      })
    }
    default:
      return jsonTypes(value).includes(entry['json-type'] ?? '') ? [] : [`${path}=${JSON.stringify(value)}`]
  }
}

/** Servers of gluster, which QEMU 11 no longer knows. */
const GLUSTER = ['driver=gluster', 'volume', 'path', 'server', 'debug'].map(of => `blockdev-add.${of}`)

/** What libvirt tells every QEMU, known to it or not, and what the user names: by file. */
const TOLD_ALL_THE_SAME: Record<string, string[]> = {
  'address-drive-elsewhere.xml': ['usb-ccid.channel', 'usb-ccid.scsi-id', 'usb-ccid.lun'],
  'address-pci-transitional.xml': ['device vhost-vsock-pci-transitional'],
  'controller-scsi-models.xml': ['device dc-390'],
  'disk-network-servers.xml': GLUSTER,
  'disk-reconnect-of-gluster.xml': GLUSTER,
  'interface-models-q35.xml': ['device no-such-card'],
  'interface-models.xml': ['device netfront'],
  'vsock-transitional.xml': ['device vhost-vsock-pci-transitional']
}

/** Options whose JSON is the argument of a QMP command. */
const QMP_OPTIONS = { '-object': 'object-add', '-blockdev': 'blockdev-add', '-netdev': 'netdev_add' } as const
/** Members of every device that are no properties. */
const OF_EVERY_DEVICE = ['id', 'bus']
/** Options of `-machine` that are no properties of the machine, the accelerator's among them. */
const OF_EVERY_MACHINE = ['type', 'kernel_irqchip']

/** Names QEMU knows a device by besides its own (qdev_alias_table). */
const ALIASES: Record<string, string> = { ahci: 'ich9-ahci', lsi: 'lsi53c895a', 'virtio-iommu': 'virtio-iommu-pci' }

class Known {
  readonly #replies: Record<string, Record<string, { name: string }[]>>
  readonly #schema: Schema
  readonly #machineTypes: Map<string, string>

  constructor(replies: Replies) {
    this.#replies = replies as never
    this.#schema = indexSchema(replies['query-qmp-schema'] as SchemaEntry[])
    this.#machineTypes = new Map(
      (replies['query-machines'] as { name: string; alias?: string }[]).flatMap(({ name, alias }) => [
        [name, name],
        [alias ?? name, name]
      ])
    )
  }

  /** What of a command line this QEMU does not know. */
  unknown(argv: readonly string[]): string[] {
    return [
      ...argv.filter(word => ['-no-acpi', '-no-hpet', '-usbdevice', '-soundhw', '-balloon'].includes(word)),
      ...valuesOf(argv, '-device').flatMap(text => this.#device(text)),
      ...valuesOf(argv, '-machine').flatMap(text => this.#machine(text)),
      ...Object.entries(QMP_OPTIONS).flatMap(([option, command]) =>
        valuesOf(argv, option)
          .filter(text => text.startsWith('{'))
          .flatMap(text =>
            strangers(this.#schema, this.#schema.get(command)!['arg-type'] as string, JSON.parse(text), command)
          )
      )
    ]
  }

  #device(text: string): string[] {
    const { head, keys } = parsed(text, 'driver')
    const known = this.#replies['device-list-properties']![ALIASES[head] ?? head]
    if (!known) return [`device ${head}`]
    return keys
      .filter(key => !OF_EVERY_DEVICE.includes(key) && !known.some(({ name }) => matches(name, key)))
      .map(key => `${head}.${key}`)
  }

  #machine(text: string): string[] {
    const { head, keys } = parsed(text, 'type')
    const type = this.#machineTypes.get(head)
    if (type === undefined) return [`machine ${head}`]
    const known = this.#replies['qom-list-properties']![`${type}-machine`]
    if (!known) return []
    return keys
      .filter(key => !OF_EVERY_MACHINE.includes(key) && !known.some(({ name }) => name === key.split('.')[0]))
      .map(key => `${type}.${key}`)
  }
}

/** True for a property, or an element of one that is an array. */
const matches = (property: string, key: string) => property === key || key.replace(/\[\d+\]$/, '[*]') === property

const byVersion = new Map<string, Lines>()

for (const version of ['10.0.13', '11.1.2']) {
  const replies = recordedReplies(version)
  await t.test(`QEMU ${version} knows all it is told`, { skip: replies ? false : 'no recordings' }, async t => {
    const lines = await commandLines(`qemu-${version}`, replies!)
    byVersion.set(version, lines)
    const known = new Known(replies!)
    let built = 0
    for (const [file, argv] of lines) {
      if (typeof argv === 'string') continue
      built++
      if (OWN_WORDS.test(readFileSync(join(SOURCES, file), 'utf8'))) continue
      const told = TOLD_ALL_THE_SAME[file] ?? []
      const unknown = known.unknown(argv).filter(one => !told.includes(one))
      t.same(unknown, [], file)
    }
    t.ok(built > 150, `${built} of ${lines.size} guests have a command line`)
  })
}

/** Replies of the newest QEMU with another version. */
function asVersion(replies: Replies, major: number, minor: number): Replies {
  const version = { qemu: { major, minor, micro: 0 }, package: '' }
  return { ...replies, greeting: { QMP: { version, capabilities: [] } }, 'query-version': version }
}

const newest = recordedReplies('11.1.2')
const skip = newest ? false : 'no recordings'

await t.test('a QEMU newer than all of them works as the newest known', { skip }, async t => {
  const more = (name: string) => [...(newest![name] as unknown[]), { name: 'x-from-the-future' }]
  const future: Replies = {
    ...asVersion(newest!, 12, 3),
    'query-commands': more('query-commands'),
    'qom-list-types': more('qom-list-types'),
    'query-from-the-future': {}
  }
  const known = byVersion.get('11.1.2')!
  for (const [file, argv] of await commandLines('qemu-12.3.0', future)) t.same(argv, known.get(file), file)
})

await t.test('the version decides nothing', { skip }, async t => {
  const known = byVersion.get('11.1.2')!
  for (const [file, argv] of await commandLines('qemu-0.1.0', asVersion(newest!, 0, 1)))
    t.same(argv, known.get(file), file)
})
