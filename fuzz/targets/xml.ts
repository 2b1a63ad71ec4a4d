// Documents of users: definitions, devices, moments, and what other daemons send.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatDevice, parseDevice } from '../../src/conf/device-xml.ts'
import type { DomainDef } from '../../src/conf/domain-def.ts'
import { formatDomain } from '../../src/conf/domain-xml.ts'
import { VirError } from '../../src/conf/error.ts'
import { formatBackup, parseBackup } from '../../src/conf/moment/backup.ts'
import { formatCheckpoint, parseCheckpoint } from '../../src/conf/moment/checkpoint.ts'
import { formatSnapshot, parseSnapshot, parseSnapshotFile } from '../../src/conf/moment/snapshot.ts'
import { formatSaveCookieDocument, parseSaveCookieDocument } from '../../src/conf/save-cookie.ts'
import { childElements, decodeXml, firstChild, formatXml, parseXml } from '../../src/conf/xml.ts'
import { buildCommand } from '../../src/drivers/qemu/command/index.ts'
import { loadDomain, prepareNative } from '../../src/drivers/qemu/definition/passes.ts'
import { COOKIE_FEATURES, formatCookie, parseCookie } from '../../src/drivers/qemu/migration/cookie.ts'
import { testContext } from '../../test/helper/definition.ts'
import { Fault, type Target } from '../target.ts'

const read = (dir: string) =>
  readdirSync(dir)
    .filter(name => name.endsWith('.xml'))
    .sort()
    .map(name => readFileSync(join(dir, name), 'utf8'))

const domains = () => read('test/data/domain')

/** Values and attributes of all elements, so that one document's get into another. */
const WORDS = [...new Set(domains().flatMap(text => text.match(/(?<==')[^']{1,30}(?=')/g) ?? []))].sort()

/** What is written reads as what was read. */
function stable<T>(def: T, write: (def: T) => string, read: (text: string) => T): void {
  const once = write(def)
  let again: string
  try {
    again = write(read(once))
  } catch (error) {
    throw refused(error, once)
  }
  compare(once, again)
}

const refused = (error: unknown, text: string) =>
  new Fault(`what was written is refused: ${(error as Error).message}\n${text}`)

/** Lines of both, whatever their order: libvirt puts a disk by its bus, which it knows only of a definition it has written. */
function compare(once: string, again: string): void {
  if (once === again) return
  const [before, after] = [once, again].map(text => text.split('\n').sort())
  const gone = before!.filter(line => !after!.includes(line))
  const come = after!.filter(line => !before!.includes(line))
  if (gone.length + come.length === 0 && before!.length === after!.length) return
  throw new Fault(`what was written reads as something else:\n- ${gone.join('\n- ')}\n+ ${come.join('\n+ ')}`)
}

const devices = () =>
  domains().flatMap(text => {
    const list = firstChild(parseXml(text), 'devices')
    return list ? childElements(list).map(node => formatXml(node)) : []
  })

const SNAPSHOTS = [
  '<domainsnapshot><name>s</name><description>d</description><memory snapshot="no"/></domainsnapshot>',
  `<domainsnapshot><name>a.1</name><memory snapshot='external' file='/tmp/m'/><disks>
   <disk name='vda' snapshot='external' type='file'><driver type='qcow2'/><source file='/tmp/o'/></disk>
   <disk name='/tmp/b' snapshot='no'/><disk name='vdc' snapshot='internal'/></disks></domainsnapshot>`,
  `<domainsnapshot><name>r</name><state>disk-snapshot</state><creationTime>1712000000</creationTime><parent><name>p</name>
   </parent><memory snapshot='no'/><disks><disk name='vda' snapshot='external' snapshotDeleteInProgress='yes'/></disks>
   <cookie/><revertDisks><disk name='vda' snapshot='external' type='block'><source dev='/dev/x'/></disk></revertDisks>
   <active>1</active></domainsnapshot>`
]
const CHECKPOINTS = [
  '<domaincheckpoint><name>c</name><description>d</description></domaincheckpoint>',
  `<domaincheckpoint><name>c</name><creationTime>12</creationTime><parent><name>p</name></parent><disks>
   <disk name='vda' checkpoint='bitmap' bitmap='b' size='12'/><disk name='vdb' checkpoint='no'/></disks></domaincheckpoint>`
]
const BACKUPS = [
  `<domainbackup><incremental>c</incremental><disks><disk name='vda' type='file' backupmode='full'><driver type='qcow2'/>
   <target file='/tmp/t'/></disk><disk name='vdb' backup='no'/></disks></domainbackup>`,
  `<domainbackup mode='pull' id='1'><server transport='tcp' name='localhost' port='10809' tls='yes'/><disks>
   <disk name='vda' backup='yes' type='block' exportname='e' exportbitmap='m' index='3'><scratch dev='/dev/s'/></disk></disks>
   </domainbackup>`,
  `<domainbackup mode='pull'><server transport='unix' socket='/tmp/s'/></domainbackup>`
]
const MOMENT_WORDS = ['internal', 'external', 'manual', 'bitmap', 'push', 'pull', 'running', 'shutoff', 'fd', 'reuse']

const write = (def: DomainDef) => formatDomain(def, { inactive: true, secure: true })

async function wholeDomain(xml: string): Promise<void> {
  const contextFor = async () => testContext()
  const { def, context } = await loadDomain(xml, contextFor)
  const once = write(def)
  const again = await loadDomain(once, contextFor).then(
    loaded => write(loaded.def),
    error => {
      throw refused(error, once)
    }
  )
  compare(once, again)
  formatDomain(def, { inactive: false, secure: true, status: true })
  formatDomain(def, { inactive: false, migratable: true })
  buildCommand(def, prepareNative(def, context))
}

const GUEST = { name: 'guest', uuid: '00000000-0000-0000-0000-000000000001' }

export const XML_TARGETS: Target[] = [
  {
    name: 'conf/xml',
    kind: 'text',
    corpus: () => [
      ...domains().slice(0, 60),
      '<?xml version="1.0"?><a xmlns:b="c"><b:d e="&lt;"><![CDATA[x]]></b:d></a>'
    ],
    words: [
      '<!--',
      '-->',
      '<![CDATA[',
      ']]>',
      '<!DOCTYPE a [<!ENTITY b "c">]>',
      '&b;',
      '&#x41;',
      '<?pi?>',
      'xmlns:x="y"'
    ],
    run(input) {
      const text = decodeXml(input)
      stable(parseXml(text), formatXml, parseXml)
    }
  },
  { name: 'conf/domain', kind: 'text', corpus: domains, words: WORDS, run: input => wholeDomain(decodeXml(input)) },
  {
    name: 'conf/device',
    kind: 'text',
    corpus: devices,
    words: WORDS,
    run(input) {
      const device = parseDevice(decodeXml(input))
      formatDevice(device)
      return device[0]
    }
  },
  {
    name: 'conf/snapshot',
    kind: 'text',
    corpus: () => SNAPSHOTS,
    words: MOMENT_WORDS,
    run(input) {
      const text = decodeXml(input)
      const contents = [
        () => formatSnapshot(parseSnapshot(text), { secure: true }),
        () => formatSnapshot(parseSnapshot(text, { redefine: true }), { secure: true }),
        () => parseSnapshotFile(text, {}).current
      ]
      return contents.map(one => attempt(one)).join()
    }
  },
  {
    name: 'conf/checkpoint',
    kind: 'text',
    corpus: () => CHECKPOINTS,
    words: MOMENT_WORDS,
    run(input) {
      const text = decodeXml(input)
      return [{}, { redefine: true }]
        .map(options => attempt(() => formatCheckpoint(parseCheckpoint(text, options), {})))
        .join()
    }
  },
  {
    name: 'conf/backup',
    kind: 'text',
    corpus: () => BACKUPS,
    words: MOMENT_WORDS,
    run(input) {
      stable(parseBackup(decodeXml(input)), formatBackup, parseBackup)
    }
  },
  {
    name: 'conf/save-cookie',
    kind: 'text',
    corpus: () => [
      `<cookie><cpu mode='custom' match='exact' check='full'><model fallback='forbid'>qemu64</model>
       <feature policy='require' name='hypervisor'/></cpu><slirpHelper/></cookie>`
    ],
    words: WORDS,
    run(input) {
      stable(parseSaveCookieDocument(decodeXml(input)), formatSaveCookieDocument, parseSaveCookieDocument)
    }
  },
  {
    name: 'migration/cookie',
    kind: 'text',
    corpus: () => read('test/data/migration/cookie'),
    words: [...COOKIE_FEATURES],
    run(input) {
      const text = decodeXml(input)
      const of = (tag: string) => new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(text)?.[1]
      const reader = { name: of('name') ?? GUEST.name, uuid: of('uuid') ?? GUEST.uuid, hostUuid: GUEST.uuid }
      const cookie = parseCookie(text, reader, COOKIE_FEATURES)
      return cookie && Object.keys(cookie).length + (formatCookie(cookie) ? 0 : 1)
    }
  }
]

/** One of several ways to read a document, each of which may refuse it. */
function attempt(work: () => unknown): string {
  try {
    work()
    return 'taken'
  } catch (error) {
    if (error instanceof VirError) return error.message.replace(/'[^']*'|\d+/g, '')
    throw error
  }
}
