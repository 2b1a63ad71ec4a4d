// A guest's memory in files: save and restore, the definition in an image, the saved image that a start goes on from. All
// but what is asked of every guest is loaded when it is called for.
import { existsSync, unlinkSync } from 'node:fs'
import { resolve } from 'node:path'
import { virDomainSaveImageXMLFlags, virDomainSaveRestoreFlags } from '../../../conf/enums.ts'
import { systemError } from '../../../conf/errno.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { flags, int, optional, text, typedInput } from '../../../conf/wire.ts'
import type { Connect } from '../../connection.ts'
import { exclusive, methodFor, noFlags } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()
const onConnect = methodFor<Connect>()

const { VIR_DOMAIN_SAVE_BYPASS_CACHE, VIR_DOMAIN_SAVE_RUNNING, VIR_DOMAIN_SAVE_PAUSED } = virDomainSaveRestoreFlags

const either = { VIR_DOMAIN_SAVE_RUNNING, VIR_DOMAIN_SAVE_PAUSED }
const saveFlags = flags({ VIR_DOMAIN_SAVE_BYPASS_CACHE, ...either })
const restoreFlags = flags(virDomainSaveRestoreFlags)
const xmlFlags = flags(virDomainSaveImageXMLFlags)
const check = ({ flags: bits }: { flags: number }) => exclusive(bits, either)

const dxml = optional(text('domain XML instead of that of the guest'))
const file = text('path on the host of the guest')

/** What there is in common of calls that save a guest. */
const saves = { on: 'domain', acl: 'domain:hibernate', job: { async: 'save' }, needs: 'active', ret: {} } as const
const restores = { on: 'connect', acl: 'domain:start', ret: {} } as const

/** libvirt's client makes paths whole before it sends them. */
const whole = (path: string) => resolve('/', path)

const saving = () => import('../save/save.ts')
const images = () => import('../save/image-xml.ts')

/** The saved image of a guest. @throws VIR_ERR_OPERATION_INVALID where there is none */
function managedImage({ root }: QemuDomain): string {
  if (existsSync(root.managedSave)) return root.managedSave
  throw fail('VIR_ERR_OPERATION_INVALID', 'domain does not have managed save image')
}

export const save = {
  /** Writes the guest's memory into a file and ends the guest. Source: qemuDomainSave. */
  virDomainSave: method({
    ...saves,
    since: '0.0.2',
    args: { to: file },
    async run(domain, { to }, { job }) {
      await (await saving()).saveDomain(domain, job!, { path: whole(to) })
      return {}
    }
  }),

  /** As virDomainSave; past the page cache, with other XML, to run or be paused when it is restored. */
  virDomainSaveFlags: method({
    ...saves,
    since: '0.9.4',
    args: { to: file, dxml, flags: saveFlags },
    check,
    async run(domain, { to, dxml: xml, flags: bits }, { job }) {
      await (await saving()).saveDomain(domain, job!, { path: whole(to), xml, flags: bits })
      return {}
    }
  }),

  /** As virDomainSaveFlags, in a format; without a file as virDomainManagedSave. */
  virDomainSaveParams: method({
    ...saves,
    since: '8.4.0',
    args: {
      params: typedInput(
        { file: 'string', dxml: 'string', image_format: 'string', 'parallel.channels': 'int' },
        { mayBeEmpty: true }
      ),
      flags: saveFlags
    },
    check,
    async run(domain, { params, flags: bits }, { job }) {
      const { file: path, dxml: xml, image_format: format, 'parallel.channels': channels } = params
      const { formatOf, managedSave, saveDomain } = await saving()
      if (path === undefined) await managedSave(domain, job!, { xml, flags: bits })
      else {
        await saveDomain(domain, job!, { path: whole(path), format: formatOf(format), xml, flags: bits, channels })
      }
      return {}
    }
  }),

  /** Starts a guest from an image of its memory. Source: qemuDomainRestore. */
  virDomainRestore: onConnect({
    ...restores,
    since: '0.0.2',
    args: { from: file },
    async run(connect, { from }, { api }) {
      await connect.restore({ path: whole(from) }, api)
      return {}
    }
  }),

  /** As virDomainRestore; past the page cache, with other XML, running or paused, with new UEFI variables. */
  virDomainRestoreFlags: onConnect({
    ...restores,
    since: '0.9.4',
    args: { from: file, dxml, flags: restoreFlags },
    check,
    async run(connect, { from, dxml: xml, flags: bits }, { api }) {
      await connect.restore({ path: whole(from), xml, flags: bits }, api)
      return {}
    }
  }),

  virDomainRestoreParams: onConnect({
    ...restores,
    since: '8.4.0',
    args: {
      params: typedInput({ file: 'string', dxml: 'string', 'parallel.channels': 'int' }, { mayBeEmpty: true }),
      flags: restoreFlags
    },
    check,
    async run(connect, { params, flags: bits }, { api }) {
      const { file: path, dxml: xml, 'parallel.channels': channels } = params
      if (path === undefined) throw fail('VIR_ERR_INVALID_ARG', 'missing path to restore from')
      await connect.restore({ path: whole(path), xml, flags: bits, channels }, api)
      return {}
    }
  }),

  /** The domain XML in an image. */
  virDomainSaveImageGetXMLDesc: onConnect({
    since: '0.9.4',
    on: 'connect',
    acl: 'domain:read',
    args: { file, flags: xmlFlags },
    ret: { xml: text() },
    async run({ contextFor }, { file: path, flags: bits }) {
      return { xml: await (await images()).imageXmlOf(whole(path), contextFor, bits) }
    }
  }),

  /** Gives an image other domain XML, and has its guest run or be paused when it is restored. */
  virDomainSaveImageDefineXML: onConnect({
    since: '0.9.4',
    on: 'connect',
    acl: 'domain:write',
    args: { file, dxml: text('domain XML'), flags: flags(either) },
    ret: {},
    check,
    async run({ contextFor }, { file: path, dxml: xml, flags: bits }) {
      await (await images()).defineImageXml(whole(path), contextFor, xml, bits)
      return {}
    }
  }),

  /** Saves the guest into a file of ours, from which its next start goes on. Source: qemuDomainManagedSave. */
  virDomainManagedSave: method({
    ...saves,
    since: '0.8.0',
    args: { flags: saveFlags },
    check,
    async run(domain, { flags: bits }, { job }) {
      await (await saving()).managedSave(domain, job!, { flags: bits })
      return {}
    }
  }),

  /** Tells that a start would restore a saved image. */
  virDomainHasManagedSaveImage: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:read',
    args: noFlags,
    ret: { result: int() },
    run: ({ root }) => ({ result: Number(existsSync(root.managedSave)) })
  }),

  /** Removes the saved image. @throws VIR_ERR_SYSTEM_ERROR, also where there is none */
  virDomainManagedSaveRemove: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:hibernate',
    job: 'modify',
    args: noFlags,
    ret: {},
    run(domain) {
      const { managedSave } = domain.root
      try {
        unlinkSync(managedSave)
      } catch (error) {
        throw systemError('VIR_FROM_QEMU', `Failed to remove managed save file '${managedSave}'`, error)
      }
      domain.changed()
      return {}
    }
  }),

  /** @throws VIR_ERR_OPERATION_INVALID where there is no saved image */
  virDomainManagedSaveGetXMLDesc: method({
    since: '3.7.0',
    on: 'domain',
    acl: 'domain:read',
    args: { flags: xmlFlags },
    ret: { xml: text() },
    async run(domain, { flags: bits }) {
      return { xml: await (await images()).imageXmlOf(managedImage(domain), domain.contextFor, bits) }
    }
  }),

  /** As virDomainSaveImageDefineXML, of the saved image. */
  virDomainManagedSaveDefineXML: method({
    since: '3.7.0',
    on: 'domain',
    acl: 'domain:write',
    // no start reads the image meanwhile
    job: 'modify',
    args: { dxml: text('domain XML'), flags: flags(either) },
    ret: {},
    check,
    async run(domain, { dxml: xml, flags: bits }) {
      await (await images()).defineImageXml(managedImage(domain), domain.contextFor, xml, bits)
      return {}
    }
  })
}
