// Commands on checkpoints, and on backups that are made with them.
import {
  virDomainBackupBeginFlags,
  virDomainCheckpointCreateFlags,
  virDomainCheckpointDeleteFlags,
  virDomainCheckpointListFlags,
  virDomainCheckpointXMLFlags
} from '../../conf/enums.ts'
import { element, formatXml } from '../../conf/xml.ts'
import { type Commands, type DomainCall, onDomain, option } from '../command.ts'
import { editXml } from '../editor.ts'
import { ApiError, ClientError, failing, saying } from '../failure.ts'
import { readOrFail } from '../input.ts'
import { formatTable } from '../table.ts'
import { dumped, xpathOptions } from '../xpath.ts'
import { checkOptions, type Filters, flagsIn, from, listOptions, shown } from './moment.ts'
import { byName, formatTrees, type Listed, shownParts } from './moment-list.ts'

const CREATE = virDomainCheckpointCreateFlags
const CREATE_FLAGS: Filters = {
  redefine: CREATE.VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE,
  'redefine-validate': CREATE.VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE,
  quiesce: CREATE.VIR_DOMAIN_CHECKPOINT_CREATE_QUIESCE
}
const LIST = virDomainCheckpointListFlags
const FILTERS: Filters = {
  leaves: LIST.VIR_DOMAIN_CHECKPOINT_LIST_LEAVES,
  'no-leaves': LIST.VIR_DOMAIN_CHECKPOINT_LIST_NO_LEAVES
}
const ORDER: Filters = {
  topological: LIST.VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL,
  roots: LIST.VIR_DOMAIN_CHECKPOINT_LIST_ROOTS,
  descendants: LIST.VIR_DOMAIN_CHECKPOINT_LIST_DESCENDANTS
}
const XML = virDomainCheckpointXMLFlags
const XML_FLAGS: Filters = {
  'security-info': XML.VIR_DOMAIN_CHECKPOINT_XML_SECURE,
  'no-domain': XML.VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN,
  size: XML.VIR_DOMAIN_CHECKPOINT_XML_SIZE
}
const DELETE = virDomainCheckpointDeleteFlags
const DELETE_FLAGS: Filters = {
  children: DELETE.VIR_DOMAIN_CHECKPOINT_DELETE_CHILDREN,
  'children-only': DELETE.VIR_DOMAIN_CHECKPOINT_DELETE_CHILDREN_ONLY,
  metadata: DELETE.VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY
}

/** VIR_ERR_NO_DOMAIN_CHECKPOINT */
const NO_CHECKPOINT = 103

const named = { checkpointname: option.text('checkpoint name', { required: true }) }

/** The checkpoint that is named, which must be there. */
async function lookup({ shim, given }: DomainCall, by = 'checkpointname'): Promise<{ name: string }> {
  const { checkpoint } = await shim.call('virDomainCheckpointLookupByName', { name: given.text(by)! })
  return { name: checkpoint.name }
}

/** Name of the checkpoint that one came after; undefined for the first. */
async function parentOf({ shim }: DomainCall, checkpoint: { name: string }): Promise<string | undefined> {
  try {
    return (await shim.call('virDomainCheckpointGetParent', { checkpoint })).parent.name
  } catch (error) {
    if (error instanceof ApiError && error.code === NO_CHECKPOINT) return undefined
    throw error
  }
}

async function create({ shim, session }: DomainCall, xmlDesc: string, flags: number, file?: string): Promise<void> {
  const { checkpoint } = await shim.call('virDomainCheckpointCreateXML', { xmlDesc, flags })
  session.printExtra(`Domain checkpoint ${checkpoint.name} created${file === undefined ? '' : ` from '${file}'`}`)
}

/** A disk as `--diskspec` names it: `vda,checkpoint=no,bitmap=name`. @throws ClientError */
function diskOf(spec: string) {
  const [name = '', ...more] = spec.split(/(?<!,),(?!,)/).map(part => part.replaceAll(',,', ','))
  const disk = element('disk', { name })
  for (const part of more) {
    const [, key, value] = /^(checkpoint|bitmap)=(.*)$/s.exec(part) ?? []
    if (key === undefined || disk.attributes[key] !== undefined)
      throw new ClientError(`unable to parse diskspec: ${spec}`)
    disk.attributes[key] = value!
  }
  return disk
}

async function createAs(call: DomainCall): Promise<void> {
  const { given, session } = call
  const [name, description] = [given.text('name'), given.text('description')]
  const disks = given.all('diskspec').map(diskOf)
  const xml = formatXml(
    element('domaincheckpoint', {}, [
      name === undefined ? undefined : element('name', {}, [name]),
      description === undefined ? undefined : element('description', {}, [description]),
      disks.length > 0 ? element('disks', {}, disks) : undefined
    ])
  )
  if (given.has('print-xml')) session.print(`${xml}\n`)
  else await create(call, xml, flagsIn(given, CREATE_FLAGS))
}

async function list(call: DomainCall): Promise<void> {
  const { shim, given, session } = call
  checkOptions(given, FILTERS, ['from'], '--from')
  const start = given.has('from') ? await lookup(call, 'from') : undefined
  const flags = flagsIn(given, FILTERS) | flagsIn(given, ORDER)
  const asked = start
    ? shim.call('virDomainCheckpointListAllChildren', { checkpoint: start, flags })
    : shim.call('virDomainListAllCheckpoints', { flags })
  const { checkpoints } = await saying('unexpected problem querying checkpoints', asked)
  const found: Listed[] = checkpoints.map(({ name }) => ({ name }))
  if (given.has('tree')) {
    for (const one of found) one.parent = await parentOf(call, { name: one.name })
    if (start) found.push(start)
  }
  if (!given.has('topological')) found.sort(byName)
  if (given.has('tree')) return session.print(formatTrees(found))
  const withParent = given.has('parent')
  const rows: string[][] = []
  for (const { name } of found) {
    const { xml } = await shim.call('virDomainCheckpointGetXMLDesc', { checkpoint: { name }, flags: 0 })
    const { created, parent } = shownParts(xml)
    if (given.has('name')) session.print(`${name}${withParent && parent !== '' ? `\t${parent}` : ''}\n`)
    else if (created !== undefined) rows.push([name, created, ...(withParent ? [parent] : [])])
  }
  if (given.has('name')) return
  session.print(formatTable(['Name', 'Creation Time', ...(withParent ? ['Parent'] : [])], rows, session.options.quiet))
}

/** Has a description changed in an editor; its name stays (cmdCheckpointEdit). */
async function edit(call: DomainCall): Promise<void> {
  const { shim, session } = call
  const checkpoint = await lookup(call)
  const { name } = checkpoint
  let made = name
  const get = async () =>
    (await shim.call('virDomainCheckpointGetXMLDesc', { checkpoint, flags: XML_FLAGS['security-info']! })).xml
  const define = async (xmlDesc: string) => {
    const call = shim.call('virDomainCheckpointCreateXML', { xmlDesc, flags: CREATE_FLAGS.redefine! })
    made = (await call).checkpoint.name
  }
  const edited = async () => {
    if (!(await editXml(session, { get, define }))) {
      return session.printExtra(`Checkpoint ${name} XML configuration not changed.\n`)
    }
    if (made === name) return session.printExtra(`Checkpoint ${name} edited.\n`)
    const call = shim.call('virDomainCheckpointDelete', { checkpoint: { name: made }, flags: DELETE_FLAGS.metadata! })
    await saying(`Failed to clean up ${made}`, call)
    throw new ClientError(`Cannot rename checkpoint ${name} to ${made}`)
  }
  await failing(edited(), `Failed to update ${name}`)
}

async function info(call: DomainCall): Promise<void> {
  const { shim, session, name: guest } = call
  const checkpoint = await lookup(call)
  session.field('Name', checkpoint.name)
  session.field('Domain', guest)
  session.field('Parent', (await parentOf(call, checkpoint)) ?? '-')
  for (const [label, flags] of [
    ['Children', 0],
    ['Descendants', LIST.VIR_DOMAIN_CHECKPOINT_LIST_DESCENDANTS]
  ] as const)
    session.field(
      label,
      (await shim.call('virDomainCheckpointListAllChildren', { checkpoint, flags })).checkpoints.length
    )
}

async function remove(call: DomainCall): Promise<void> {
  const { shim, given, session } = call
  const checkpoint = await lookup(call)
  const deletion = shim.call('virDomainCheckpointDelete', { checkpoint, flags: flagsIn(given, DELETE_FLAGS) })
  await saying(`Failed to delete checkpoint ${checkpoint.name}`, deletion)
  session.printExtra(`Domain checkpoint ${checkpoint.name}${given.has('children-only') ? ' children' : ''} deleted\n`)
}

async function beginBackup({ shim, given, session }: DomainCall): Promise<void> {
  const text = async (name: string) => {
    const file = given.text(name)
    return file === undefined ? undefined : (await readOrFail(file)).toString()
  }
  const flags = given.has('reuse-external') ? virDomainBackupBeginFlags.VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL : 0
  const backupXML = (await text('backupxml')) ?? '<domainbackup/>'
  await shim.call('virDomainBackupBegin', { backupXML, checkpointXML: await text('checkpointxml'), flags })
  session.print('Backup started\n')
}

export const backups: Commands = {
  'backup-begin': {
    ...onDomain(
      'Start a disk backup of a live domain',
      {
        backupxml: option.text('domain backup XML'),
        checkpointxml: option.text('domain checkpoint XML', { named: true }),
        'reuse-external': option.bool('reuse files provided by caller')
      },
      beginBackup
    ),
    description: 'Use XML to start a full or incremental disk backup of a live domain, optionally creating a checkpoint'
  },
  'backup-dumpxml': {
    ...onDomain('Dump XML for an ongoing domain block backup job', xpathOptions, async ({ shim, given, session }) =>
      session.print(dumped((await shim.call('virDomainBackupGetXMLDesc', { flags: 0 })).xml, given))
    ),
    description: 'Backup Dump XML'
  }
}

export const checkpoints: Commands = {
  'checkpoint-create': {
    ...onDomain(
      'Create a checkpoint from XML',
      {
        xmlfile: option.text('domain checkpoint XML'),
        redefine: option.bool('redefine metadata for existing checkpoint'),
        'redefine-validate': option.bool('validate the redefined checkpoint'),
        quiesce: option.bool("quiesce guest's file systems")
      },
      async call => {
        const { given } = call
        given.requiring(['redefine-validate', 'redefine'])
        const file = given.text('xmlfile')
        const xml = file === undefined ? '<domaincheckpoint/>' : (await readOrFail(file)).toString()
        await create(call, xml, flagsIn(given, CREATE_FLAGS), file)
      }
    ),
    description: 'Create a checkpoint from XML for use in future incremental backups'
  },
  'checkpoint-create-as': {
    ...onDomain(
      'Create a checkpoint from a set of args',
      {
        name: option.text('name of checkpoint'),
        description: option.text('description of checkpoint'),
        'print-xml': option.bool('print XML document rather than create'),
        quiesce: option.bool("quiesce guest's file systems"),
        diskspec: option.argv('disk attributes: disk[,checkpoint=type][,bitmap=name]')
      },
      createAs
    ),
    description: 'Create a checkpoint from arguments for use in future incremental backups'
  },
  'checkpoint-delete': {
    ...onDomain(
      'Delete a domain checkpoint',
      {
        ...named,
        children: option.bool('delete checkpoint and all children'),
        'children-only': option.bool('delete children but not checkpoint'),
        metadata: option.bool('delete only libvirt metadata, leaving checkpoint contents behind')
      },
      remove
    ),
    description: 'Checkpoint Delete'
  },
  'checkpoint-dumpxml': {
    ...onDomain(
      'Dump XML for a domain checkpoint',
      {
        ...named,
        'security-info': option.bool('include security sensitive information in XML dump'),
        'no-domain': option.bool('exclude <domain> from XML'),
        size: option.bool('include backup size estimate in XML dump'),
        ...xpathOptions
      },
      async call => {
        const checkpoint = await lookup(call)
        const flags = flagsIn(call.given, XML_FLAGS)
        const { xml } = await call.shim.call('virDomainCheckpointGetXMLDesc', { checkpoint, flags })
        call.session.print(dumped(xml, call.given))
      }
    ),
    description: 'Checkpoint Dump XML'
  },
  'checkpoint-edit': {
    ...onDomain('edit XML for a checkpoint', named, edit),
    description: 'Edit the domain checkpoint XML for a named checkpoint'
  },
  'checkpoint-info': {
    ...onDomain('checkpoint information', named, info),
    description: 'Returns basic information about a checkpoint.'
  },
  'checkpoint-list': {
    ...onDomain(
      'List checkpoints for a domain',
      { ...listOptions('checkpoint'), ...from('checkpoint'), ...shown('checkpoint') },
      list
    ),
    description: 'Checkpoint List'
  },
  'checkpoint-parent': {
    ...onDomain(
      'Get the name of the parent of a checkpoint',
      { checkpointname: option.text('find parent of checkpoint name', { required: true }) },
      async call => {
        const { name } = await lookup(call)
        const parent = await parentOf(call, { name })
        if (parent === undefined) throw new ClientError(`checkpoint '${name}' has no parent`)
        call.session.print(parent)
      }
    ),
    description: "Extract the checkpoint's parent, if any"
  }
}
