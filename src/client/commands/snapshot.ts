// Commands on snapshots.
import {
  virDomainSnapshotCreateFlags,
  virDomainSnapshotDeleteFlags,
  virDomainSnapshotListFlags,
  virDomainSnapshotRevertFlags,
  virDomainSnapshotXMLFlags
} from '../../conf/enums.ts'
import { element, firstChild, formatXml, parseXml, type XmlElement } from '../../conf/xml.ts'
import type { Options } from '../arguments.ts'
import { type Commands, type DomainCall, onDomain, option } from '../command.ts'
import { editXml } from '../editor.ts'
import { ApiError, ClientError, failing, saying } from '../failure.ts'
import { readOrFail } from '../input.ts'
import { formatTable } from '../table.ts'
import { dumped, xpathOptions } from '../xpath.ts'
import { checkOptions, type Filters, flagsIn, from, listOptions, shown } from './moment.ts'
import { byName, formatTrees, type Listed, shownParts } from './moment-list.ts'

const LIST = virDomainSnapshotListFlags
const FILTERS: Filters = {
  leaves: LIST.VIR_DOMAIN_SNAPSHOT_LIST_LEAVES,
  'no-leaves': LIST.VIR_DOMAIN_SNAPSHOT_LIST_NO_LEAVES,
  inactive: LIST.VIR_DOMAIN_SNAPSHOT_LIST_INACTIVE,
  active: LIST.VIR_DOMAIN_SNAPSHOT_LIST_ACTIVE,
  'disk-only': LIST.VIR_DOMAIN_SNAPSHOT_LIST_DISK_ONLY,
  internal: LIST.VIR_DOMAIN_SNAPSHOT_LIST_INTERNAL,
  external: LIST.VIR_DOMAIN_SNAPSHOT_LIST_EXTERNAL
}
const ORDER: Filters = {
  topological: LIST.VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL,
  roots: LIST.VIR_DOMAIN_SNAPSHOT_LIST_ROOTS,
  metadata: LIST.VIR_DOMAIN_SNAPSHOT_LIST_METADATA,
  'no-metadata': LIST.VIR_DOMAIN_SNAPSHOT_LIST_NO_METADATA,
  descendants: LIST.VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS
}
const CREATE = virDomainSnapshotCreateFlags
const CREATE_FLAGS: Filters = {
  redefine: CREATE.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE,
  current: CREATE.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT,
  'no-metadata': CREATE.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA,
  halt: CREATE.VIR_DOMAIN_SNAPSHOT_CREATE_HALT,
  'disk-only': CREATE.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY,
  'reuse-external': CREATE.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT,
  quiesce: CREATE.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE,
  atomic: CREATE.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC,
  live: CREATE.VIR_DOMAIN_SNAPSHOT_CREATE_LIVE,
  validate: CREATE.VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE
}
const DELETE = virDomainSnapshotDeleteFlags
const DELETE_FLAGS: Filters = {
  children: DELETE.VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN,
  'children-only': DELETE.VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY,
  metadata: DELETE.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY
}
const REVERT = virDomainSnapshotRevertFlags
const REVERT_FLAGS: Filters = {
  running: REVERT.VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING,
  paused: REVERT.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED,
  'reset-nvram': REVERT.VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM
}
const SECURE = virDomainSnapshotXMLFlags.VIR_DOMAIN_SNAPSHOT_XML_SECURE

/** VIR_ERR_SNAPSHOT_REVERT_RISKY */
const RISKY = 93

interface Named {
  name: string
}

/** The snapshot that is named, or the current one where that is asked for; it must be there (virshLookupSnapshot). */
async function lookup({ shim, given }: DomainCall, by = 'snapshotname', isEither = true): Promise<Named> {
  const name = given.text(by)
  const current = given.has('current')
  if (isEither && current && name !== undefined) {
    throw new ClientError(`--${by} and --current are mutually exclusive`)
  }
  if (name === undefined && !current) throw new ClientError(`--${by} or --current is required`)
  const { snap } =
    name === undefined
      ? await shim.call('virDomainSnapshotCurrent')
      : await shim.call('virDomainSnapshotLookupByName', { name })
  return { name: snap.name }
}

const xmlOf = async ({ shim }: DomainCall, snap: Named, flags = 0): Promise<string> =>
  (await shim.call('virDomainSnapshotGetXMLDesc', { snap, flags })).xml

async function create({ shim, session }: DomainCall, xmlDesc: string, flags: number, file?: string): Promise<void> {
  const { snap } = await shim.call('virDomainSnapshotCreateXML', { xmlDesc, flags })
  session.printExtra(`Domain snapshot ${snap.name} created${file === undefined ? '' : ` from '${file}'`}`)
}

/** `one,two=x` in parts; a doubled comma is one. */
const partsOf = (spec: string) => spec.split(/(?<!,),(?!,)/).map(part => part.replaceAll(',,', ','))

/** Parts `key=value` of the first that are known. @throws ClientError */
function valuesOf(parts: string[], keys: readonly string[], fault: string, bare?: string): Record<string, string> {
  const values: Record<string, string> = {}
  for (const part of parts) {
    const key = keys.find(key => !(key in values) && part.startsWith(`${key}=`))
    if (key !== undefined) values[key] = part.slice(key.length + 1)
    else if (bare !== undefined && !(bare in values) && part.startsWith('/')) values[bare] = part
    else throw new ClientError(fault)
  }
  return values
}

/** `[file=]name[,snapshot=type]` */
function memoryOf(spec: string): XmlElement {
  const fault = `unable to parse memspec: ${spec}`
  const { snapshot, file } = valuesOf(partsOf(spec), ['snapshot', 'file'], fault, 'file')
  return element('memory', { snapshot, file })
}

/** `disk[,snapshot=type][,driver=type][,stype=type][,file=name]` */
function diskOf(spec: string): XmlElement {
  const fault = `unable to parse diskspec: ${spec}`
  const [name, ...parts] = partsOf(spec)
  const { snapshot, driver, stype, file } = valuesOf(parts, ['snapshot', 'driver', 'stype', 'file'], fault)
  if (stype !== undefined && stype !== 'block' && stype !== 'file') {
    throw new ClientError(`Unknown storage type: '${stype}'`, fault)
  }
  return element('disk', { name, snapshot, type: stype }, [
    driver === undefined ? undefined : element('driver', { type: driver }),
    file === undefined ? undefined : element('source', stype === 'block' ? { dev: file } : { file })
  ])
}

async function createAs(call: DomainCall): Promise<void> {
  const { given, session } = call
  const [name, description, memory] = ['name', 'description', 'memspec'].map(name => given.text(name))
  const disks = given.all('diskspec').map(diskOf)
  const xml = formatXml(
    element('domainsnapshot', {}, [
      name === undefined ? undefined : element('name', {}, [name]),
      description === undefined ? undefined : element('description', {}, [description]),
      memory === undefined ? undefined : memoryOf(memory),
      disks.length > 0 ? element('disks', {}, disks) : undefined
    ])
  )
  if (given.has('print-xml')) session.print(`${xml}\n`)
  else await create(call, xml, flagsIn(given, CREATE_FLAGS))
}

async function list(call: DomainCall): Promise<void> {
  const { shim, given, session } = call
  checkOptions(given, FILTERS, ['from', 'current'], 'either --from or --current')
  const start = given.has('from') || given.has('current') ? await lookup(call, 'from') : undefined
  const tree = given.has('tree')
  const flags = flagsIn(given, FILTERS) | flagsIn(given, ORDER)
  const { snapshots } = start
    ? await shim.call('virDomainSnapshotListAllChildren', {
        snapshot: start,
        flags: tree ? flags | LIST.VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS : flags
      })
    : await shim.call('virDomainListAllSnapshots', { flags })
  const found: Listed[] = snapshots.map(({ name }) => ({ name }))
  if (!given.has('topological')) found.sort(byName)
  if (tree) {
    for (const one of found) one.parent = shownParts(await xmlOf(call, { name: one.name })).parent || undefined
    return session.print(formatTrees(start ? [...found, start] : found))
  }
  const withParent = given.has('parent')
  const rows: string[][] = []
  for (const { name } of found) {
    const { created, parent, state } = shownParts(await xmlOf(call, { name }))
    if (given.has('name')) session.print(`${name}${withParent && parent !== '' ? `\t${parent}` : ''}\n`)
    else if (created !== undefined) rows.push([name, created, state, ...(withParent ? [parent] : [])])
  }
  if (given.has('name')) return
  const header = ['Name', 'Creation Time', 'State', ...(withParent ? ['Parent'] : [])]
  session.print(formatTable(header, rows, session.options.quiet))
}

async function current(call: DomainCall): Promise<void> {
  const { shim, given, wanted, session } = call
  given.exclusive(['name', 'snapshotname'])
  const name = given.text('snapshotname')
  if (name !== undefined) {
    await shim.call('virDomainSnapshotLookupByName', { name })
    const xmlDesc = await xmlOf(call, { name }, SECURE)
    const { redefine, current } = CREATE_FLAGS
    await shim.call('virDomainSnapshotCreateXML', { xmlDesc, flags: redefine! | current! | diskOnly(xmlDesc) })
    return session.printExtra(`Snapshot ${name} set as current`)
  }
  const { result } = await shim.call('virDomainHasCurrentSnapshot')
  if (!result) throw new ClientError(`domain '${wanted}' has no current snapshot`)
  const { snap } = await shim.call('virDomainSnapshotCurrent')
  session.print(given.has('name') ? snap.name : await xmlOf(call, snap, given.has('security-info') ? SECURE : 0))
}

const diskOnly = (xml: string) =>
  xml.includes('<state>disk-snapshot</state>') ? CREATE.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY : 0

/** Has a description changed in an editor; one with another name is another snapshot (cmdSnapshotEdit). */
async function edit(call: DomainCall): Promise<void> {
  const { shim, given, session } = call
  given.exclusive(['rename', 'clone'])
  const isCurrent = given.has('current') && given.has('snapshotname')
  const { name } = await lookup(call, 'snapshotname', false)
  const flags = CREATE_FLAGS.redefine! | (isCurrent ? CREATE_FLAGS.current! : 0)
  let made = name
  const define = async (xmlDesc: string) => {
    made = (await shim.call('virDomainSnapshotCreateXML', { xmlDesc, flags: flags | diskOnly(xmlDesc) })).snap.name
  }
  const forget = async (snap: Named) => {
    const call = shim.call('virDomainSnapshotDelete', { snap, flags: DELETE_FLAGS.metadata! })
    await saying(`Failed to clean up ${snap.name}`, call)
  }
  const edited = async () => {
    const editable = { get: () => xmlOf(call, { name }, SECURE), define, always: isCurrent }
    if (!(await editXml(session, editable))) {
      return session.printExtra(`Snapshot ${name} XML configuration not changed.\n`)
    }
    if (made === name) return session.printExtra(`Snapshot ${name} edited.\n`)
    if (given.has('clone')) return session.printExtra(`Snapshot ${name} cloned to ${made}.\n`)
    await forget({ name: given.has('rename') ? name : made })
    if (!given.has('rename')) throw new ClientError(`Must use --rename or --clone to change ${name} to ${made}`)
  }
  await failing(edited(), `Failed to update ${name}`)
}

async function info(call: DomainCall): Promise<void> {
  const { shim, session, name: guest } = call
  const snap = await lookup(call)
  const { current } = await shim.call('virDomainSnapshotIsCurrent', { snap })
  const xml = await xmlOf(call, snap)
  const { state, parent } = shownParts(xml)
  session.field('Name', snap.name)
  session.field('Domain', guest)
  session.field('Current', current ? 'yes' : 'no')
  session.field('State', state)
  session.field('Location', isExternal(parseXml(xml), state) ? 'external' : 'internal')
  session.field('Parent', parent || '-')
  const children = (flags: number) => shim.call('virDomainSnapshotNumChildren', { snap, flags })
  session.field('Children', (await children(0)).num)
  session.field('Descendants', (await children(LIST.VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS)).num)
  const { metadata } = await shim.call('virDomainSnapshotHasMetadata', { snap })
  session.field('Metadata', metadata ? 'yes' : 'no')
}

/** Snapshots of old libvirts say nothing of their memory. */
function isExternal(root: XmlElement, state: string): boolean {
  const memory = firstChild(root, 'memory')
  const isBeside = ({ attributes }: XmlElement) => attributes.snapshot === 'external'
  if (!memory) return state === 'disk-snapshot'
  const disks = firstChild(root, 'disks')?.children ?? []
  return isBeside(memory) || disks.some(disk => typeof disk !== 'string' && isBeside(disk))
}

async function parent(call: DomainCall): Promise<void> {
  const snap = await lookup(call)
  const { parent } = shownParts(await xmlOf(call, snap))
  if (parent === '') throw new ClientError(`snapshot '${snap.name}' has no parent`)
  call.session.print(parent)
}

async function revert(call: DomainCall): Promise<void> {
  const { shim, given, session } = call
  const snap = await lookup(call)
  const flags = flagsIn(given, REVERT_FLAGS)
  const revertWith = (flags: number) => shim.call('virDomainRevertToSnapshot', { snap, flags })
  const first = revertWith(flags).catch(error => {
    if (!given.has('force') || !(error instanceof ApiError) || error.code !== RISKY) throw error
    return revertWith(flags | REVERT.VIR_DOMAIN_SNAPSHOT_REVERT_FORCE)
  })
  await saying(`Failed to revert snapshot ${snap.name}`, first)
  session.printExtra(`Domain snapshot ${snap.name} reverted\n`)
}

async function remove(call: DomainCall): Promise<void> {
  const { shim, given, session } = call
  const snap = await lookup(call)
  const deletion = shim.call('virDomainSnapshotDelete', { snap, flags: flagsIn(given, DELETE_FLAGS) })
  await saying(`Failed to delete snapshot ${snap.name}`, deletion)
  session.printExtra(`Domain snapshot ${snap.name}${given.has('children-only') ? ' children' : ''} deleted\n`)
}

const createOptions = {
  'no-metadata': option.bool('take snapshot but create no metadata'),
  halt: option.bool('halt domain after snapshot is created'),
  'disk-only': option.bool('capture disk state but not vm state'),
  'reuse-external': option.bool('reuse any existing external files'),
  quiesce: option.bool("quiesce guest's file systems"),
  atomic: option.bool('require atomic operation'),
  live: option.bool('take a live snapshot'),
  validate: option.bool('validate the XML against the schema')
}

/** Options that name a snapshot, or take the current one. */
const either = (name: string, current: string): Options => ({
  snapshotname: option.text(name),
  current: option.bool(current)
})

export const snapshots: Commands = {
  'snapshot-create': {
    ...onDomain(
      'Create a snapshot from XML',
      {
        xmlfile: option.text('domain snapshot XML'),
        redefine: option.bool('redefine metadata for existing snapshot'),
        current: option.bool('with redefine, set current snapshot'),
        ...createOptions
      },
      async call => {
        const file = call.given.text('xmlfile')
        const xml = file === undefined ? '<domainsnapshot/>' : (await readOrFail(file)).toString()
        await create(call, xml, flagsIn(call.given, CREATE_FLAGS), file)
      }
    ),
    description: 'Create a snapshot (disk and RAM) from XML'
  },
  'snapshot-create-as': {
    ...onDomain(
      'Create a snapshot from a set of args',
      {
        name: option.text('name of snapshot'),
        description: option.text('description of snapshot'),
        'print-xml': option.bool('print XML document rather than create'),
        ...createOptions,
        memspec: option.text('memory attributes: [file=]name[,snapshot=type]', { named: true }),
        diskspec: option.argv('disk attributes: disk[,snapshot=type][,driver=type][,stype=type][,file=name]')
      },
      createAs
    ),
    description: 'Create a snapshot (disk and RAM) from arguments'
  },
  'snapshot-current': {
    ...onDomain(
      'Get or set the current snapshot',
      {
        name: option.bool('list the name, rather than the full xml'),
        'security-info': option.bool('include security sensitive information in XML dump'),
        snapshotname: option.text('name of existing snapshot to make current')
      },
      current
    )
  },
  'snapshot-delete': {
    ...onDomain(
      'Delete a domain snapshot',
      {
        ...either('snapshot name', 'delete current snapshot'),
        children: option.bool('delete snapshot and all children'),
        'children-only': option.bool('delete children but not snapshot'),
        metadata: option.bool('delete only libvirt metadata, leaving snapshot contents behind')
      },
      remove
    ),
    description: 'Snapshot Delete'
  },
  'snapshot-dumpxml': {
    ...onDomain(
      'Dump XML for a domain snapshot',
      {
        snapshotname: option.text('snapshot name', { required: true }),
        'security-info': option.bool('include security sensitive information in XML dump'),
        ...xpathOptions
      },
      async call => {
        const flags = call.given.has('security-info') ? SECURE : 0
        call.session.print(dumped(await xmlOf(call, await lookup(call), flags), call.given))
      }
    ),
    description: 'Snapshot Dump XML'
  },
  'snapshot-edit': {
    ...onDomain(
      'edit XML for a snapshot',
      {
        ...either('snapshot name', 'also set edited snapshot as current'),
        rename: option.bool('allow renaming an existing snapshot'),
        clone: option.bool('allow cloning to new name')
      },
      edit
    ),
    description: 'Edit the domain snapshot XML for a named snapshot'
  },
  'snapshot-info': {
    ...onDomain('snapshot information', either('snapshot name', 'info on current snapshot'), info),
    description: 'Returns basic information about a snapshot.'
  },
  'snapshot-list': {
    ...onDomain(
      'List snapshots for a domain',
      {
        ...listOptions('snapshot'),
        metadata: option.bool('list only snapshots that have metadata that would prevent undefine'),
        'no-metadata': option.bool('list only snapshots that have no metadata managed by libvirt'),
        inactive: option.bool('filter by snapshots taken while inactive'),
        active: option.bool('filter by snapshots taken while active (full system snapshots)'),
        'disk-only': option.bool('filter by disk-only snapshots'),
        internal: option.bool('filter by internal snapshots'),
        external: option.bool('filter by external snapshots'),
        ...from('snapshot'),
        current: option.bool('limit list to children of current snapshot'),
        ...shown('snapshot')
      },
      list
    ),
    description: 'Snapshot List'
  },
  'snapshot-parent': {
    ...onDomain(
      'Get the name of the parent of a snapshot',
      either('find parent of snapshot name', 'find parent of current snapshot'),
      parent
    ),
    description: "Extract the snapshot's parent, if any"
  },
  'snapshot-revert': {
    ...onDomain(
      'Revert a domain to a snapshot',
      {
        ...either('snapshot name', 'revert to current snapshot'),
        running: option.bool('after reverting, change state to running'),
        paused: option.bool('after reverting, change state to paused'),
        force: option.bool('try harder on risky reverts'),
        'reset-nvram': option.bool('re-initialize NVRAM from its pristine template')
      },
      revert
    ),
    description: 'Revert domain to snapshot'
  }
}
