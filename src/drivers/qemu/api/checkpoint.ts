// Checkpoints: points in time from which on changed blocks are known.
import {
  virDomainCheckpointCreateFlags,
  virDomainCheckpointDeleteFlags,
  virDomainCheckpointListFlags,
  virDomainCheckpointXMLFlags
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { formatCheckpoint } from '../../../conf/moment/checkpoint.ts'
import { array, flags, flagsIn, text } from '../../../conf/wire.ts'
import { momentArgument, momentHandle } from '../../connection.ts'
import { exclusive, methodFor, noFlags, requires } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

/** Domain of what the library refuses itself. */
const LIBRARY = 'VIR_FROM_DOMAIN_CHECKPOINT'

/** libvirt's REMOTE_DOMAIN_CHECKPOINT_LIST_MAX. */
const LIST_MAX = 16384

const {
  VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE,
  VIR_DOMAIN_CHECKPOINT_CREATE_QUIESCE,
  VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE
} = virDomainCheckpointCreateFlags
const { VIR_DOMAIN_CHECKPOINT_XML_SECURE, VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN, VIR_DOMAIN_CHECKPOINT_XML_SIZE } =
  virDomainCheckpointXMLFlags
const {
  VIR_DOMAIN_CHECKPOINT_DELETE_CHILDREN,
  VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY,
  VIR_DOMAIN_CHECKPOINT_DELETE_CHILDREN_ONLY
} = virDomainCheckpointDeleteFlags
const LIST = virDomainCheckpointListFlags

const treeOf = async (domain: QemuDomain) => (await import('../checkpoint/tree.ts')).checkpointsOf(domain)

/** The checkpoint of a name. @throws VIR_ERR_NO_DOMAIN_CHECKPOINT */
const find = async (domain: QemuDomain, { name }: { name: string }) =>
  (await import('../checkpoint/tree.ts')).findCheckpoint(domain, name)

const handleOf = ({ name, uuid, id }: QemuDomain, checkpoint: string) => ({ name: checkpoint, dom: { name, uuid, id } })

/** Groups of a list's filter. */
const filterOf = (bits: number) => ({
  topological: (bits & LIST.VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL) !== 0,
  leaves: (bits & LIST.VIR_DOMAIN_CHECKPOINT_LIST_LEAVES) !== 0,
  noLeaves: (bits & LIST.VIR_DOMAIN_CHECKPOINT_LIST_NO_LEAVES) !== 0
})

const { VIR_DOMAIN_CHECKPOINT_CREATE_QUIESCE: _, ...CREATE_FLAGS } = virDomainCheckpointCreateFlags

export const checkpoint = {
  /**
   * Makes a checkpoint of the running guest, or describes one anew. QEMU's driver has no use for
   * VIR_DOMAIN_CHECKPOINT_CREATE_QUIESCE.
   */
  virDomainCheckpointCreateXML: method({
    since: '5.6.0',
    on: 'domain',
    acl: 'domain:checkpoint',
    job: 'modify',
    args: { xmlDesc: text(), flags: flagsIn({ function: 'qemuCheckpointCreateXML' }, CREATE_FLAGS) },
    ret: { checkpoint: momentHandle },
    check({ flags: bits }) {
      exclusive(bits, { VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE, VIR_DOMAIN_CHECKPOINT_CREATE_QUIESCE }, LIBRARY)
      requires(bits, { VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE, VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE }, LIBRARY)
    },
    async run(domain, { xmlDesc, flags: bits }) {
      const { createCheckpoint } = await import('../checkpoint/create.ts')
      const redefine = (bits & VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE) !== 0
      const validate = (bits & VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE) !== 0
      return { checkpoint: handleOf(domain, await createCheckpoint(domain, xmlDesc, { redefine, validate })) }
    }
  }),

  /** VIR_DOMAIN_CHECKPOINT_XML_SIZE: with the bytes that have changed since on each disk. */
  virDomainCheckpointGetXMLDesc: method({
    since: '5.6.0',
    on: 'domain',
    acl: 'domain:read',
    job: ({ flags: bits }) => ((bits & VIR_DOMAIN_CHECKPOINT_XML_SIZE) === 0 ? undefined : 'modify'),
    args: {
      checkpoint: momentArgument,
      flags: flagsIn({ function: 'qemuCheckpointGetXMLDesc' }, virDomainCheckpointXMLFlags)
    },
    ret: { xml: text() },
    async run(domain, { checkpoint, flags: bits }) {
      const def = await find(domain, checkpoint)
      const size = (bits & VIR_DOMAIN_CHECKPOINT_XML_SIZE) !== 0
      const shown = size ? await (await import('../checkpoint/size.ts')).withSizes(domain, def) : def
      const secure = (bits & VIR_DOMAIN_CHECKPOINT_XML_SECURE) !== 0
      const noDomain = (bits & VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN) !== 0
      return { xml: formatCheckpoint(shown, { secure, noDomain, size }) }
    }
  }),

  virDomainListAllCheckpoints: method({
    since: '5.6.0',
    on: 'domain',
    acl: 'domain:read',
    args: { flags: flags(virDomainCheckpointListFlags) },
    ret: { checkpoints: array(momentHandle, LIST_MAX) },
    async run(domain, { flags: bits }) {
      const deep = (bits & LIST.VIR_DOMAIN_CHECKPOINT_LIST_ROOTS) === 0
      const found = (await treeOf(domain)).list({ deep, ...filterOf(bits) })
      return { checkpoints: found.map(({ name }) => handleOf(domain, name)) }
    }
  }),

  virDomainCheckpointListAllChildren: method({
    since: '5.6.0',
    on: 'domain',
    acl: 'domain:read',
    args: { checkpoint: momentArgument, flags: flags(virDomainCheckpointListFlags) },
    ret: { checkpoints: array(momentHandle, LIST_MAX) },
    async run(domain, { checkpoint, flags: bits }) {
      const from = await find(domain, checkpoint)
      const deep = (bits & LIST.VIR_DOMAIN_CHECKPOINT_LIST_DESCENDANTS) !== 0
      const found = (await treeOf(domain)).list({ from, deep, ...filterOf(bits) })
      return { checkpoints: found.map(({ name }) => handleOf(domain, name)) }
    }
  }),

  /** @throws VIR_ERR_NO_DOMAIN_CHECKPOINT */
  virDomainCheckpointLookupByName: method({
    since: '5.6.0',
    on: 'domain',
    acl: 'domain:read',
    args: { name: text(), ...noFlags },
    ret: { checkpoint: momentHandle },
    run: async (domain, { name }) => ({ checkpoint: handleOf(domain, (await find(domain, { name })).name) })
  }),

  /** @throws VIR_ERR_NO_DOMAIN_CHECKPOINT for one that has none too */
  virDomainCheckpointGetParent: method({
    since: '5.6.0',
    on: 'domain',
    acl: 'domain:read',
    args: { checkpoint: momentArgument, ...noFlags },
    ret: { parent: momentHandle },
    async run(domain, { checkpoint }) {
      const { name, parentName } = await find(domain, checkpoint)
      if (parentName !== undefined) return { parent: handleOf(domain, parentName) }
      throw fail('VIR_ERR_NO_DOMAIN_CHECKPOINT', `checkpoint '${name}' does not have a parent`)
    }
  }),

  /** Deletes a checkpoint with its bitmaps; VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY leaves these in the images. */
  virDomainCheckpointDelete: method({
    since: '5.6.0',
    on: 'domain',
    acl: 'domain:checkpoint',
    job: 'modify',
    args: {
      checkpoint: momentArgument,
      flags: flagsIn({ function: 'qemuCheckpointDelete' }, virDomainCheckpointDeleteFlags)
    },
    ret: {},
    check({ flags: bits }) {
      exclusive(bits, { VIR_DOMAIN_CHECKPOINT_DELETE_CHILDREN, VIR_DOMAIN_CHECKPOINT_DELETE_CHILDREN_ONLY }, LIBRARY)
    },
    async run(domain, { checkpoint: { name }, flags: bits }) {
      const { deleteCheckpoint } = await import('../checkpoint/delete.ts')
      const only = (bits & VIR_DOMAIN_CHECKPOINT_DELETE_CHILDREN_ONLY) !== 0 ? 'only' : undefined
      const children = (bits & VIR_DOMAIN_CHECKPOINT_DELETE_CHILDREN) !== 0 ? 'too' : only
      const metadataOnly = (bits & VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY) !== 0
      await deleteCheckpoint(domain, name, { children, metadataOnly })
      return {}
    }
  })
}
