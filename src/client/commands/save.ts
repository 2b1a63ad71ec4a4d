// Commands that put a guest's memory into a file, bring it back, and show or change the definition in such a file.
import { resolve } from 'node:path'
import { virDomainSaveImageXMLFlags, virDomainSaveRestoreFlags } from '../../conf/enums.ts'
import { decodeXml } from '../../conf/xml.ts'
import type { Given } from '../arguments.ts'
import { type Command, type Commands, type DomainCall, onDomain, option } from '../command.ts'
import { type Editable, editXml } from '../editor.ts'
import { saying } from '../failure.ts'
import { readOrFail } from '../input.ts'
import type { Session } from '../session.ts'
import { watchJob } from '../watch-job.ts'
import { dumped, xpathOptions } from '../xpath.ts'
import { startShim } from './lifecycle.ts'

const { VIR_DOMAIN_SAVE_BYPASS_CACHE, VIR_DOMAIN_SAVE_RUNNING, VIR_DOMAIN_SAVE_PAUSED, VIR_DOMAIN_SAVE_RESET_NVRAM } =
  virDomainSaveRestoreFlags
const { VIR_DOMAIN_SAVE_IMAGE_XML_SECURE } = virDomainSaveImageXMLFlags

/** Options that are flags. */
const FLAGS: Readonly<Record<string, number>> = {
  'bypass-cache': VIR_DOMAIN_SAVE_BYPASS_CACHE,
  running: VIR_DOMAIN_SAVE_RUNNING,
  paused: VIR_DOMAIN_SAVE_PAUSED,
  'reset-nvram': VIR_DOMAIN_SAVE_RESET_NVRAM
}
const flagsOf = (given: Given): number =>
  Object.entries(FLAGS).reduce((bits, [name, bit]) => (given.has(name) ? bits | bit : bits), 0)

const states = (when: string) => ({
  running: option.bool(`set domain to be running on ${when}`),
  paused: option.bool(`set domain to be paused on ${when}`)
})
const bypassCache = { 'bypass-cache': option.bool('avoid file system cache when saving') }
const verbose = { verbose: option.bool('display the progress of save') }
const updated = { xml: option.text('filename containing updated XML for the target') }
const newXml = { xml: option.text('filename containing updated XML for the target', { required: true }) }
const stateFile = (what: string) => ({ file: option.text(what, { required: true }) })
const secure = { 'security-info': option.bool('include security sensitive information in XML dump') }
const xmlFlags = (given: Given) => (given.has('security-info') ? VIR_DOMAIN_SAVE_IMAGE_XML_SECURE : 0)

const xmlIn = async (file: string) => decodeXml(await readOrFail(file), '(domain_definition)')

async function given(of: Given, name: string): Promise<string | undefined> {
  const file = of.text(name)
  return file === undefined ? undefined : xmlIn(file)
}

async function save({ shim, given: options, session, wanted }: DomainCall): Promise<void> {
  const file = options.text('file')!
  const to = resolve(file)
  const flags = flagsOf(options)
  const channels = options.int('parallel-channels')
  const format = options.text('image-format')
  const dxml = await given(options, 'xml')
  const call = () => {
    if (channels !== undefined || format !== undefined) {
      const params = { file: to, dxml, image_format: format, 'parallel.channels': channels }
      return shim.callJob('virDomainSaveParams', { params: known(params), flags })
    }
    if (flags !== 0 || dxml !== undefined) return shim.callJob('virDomainSaveFlags', { to, dxml, flags })
    return shim.callJob('virDomainSave', { to })
  }
  const watched = watchJob({ session, shim }, { label: 'Save', verbose: options.has('verbose') }, call())
  await saying(`Failed to save domain '${wanted}' to ${file}`, watched)
  session.printExtra(`\nDomain '${wanted}' saved to ${file}\n`)
}

/** Parameters without those that are not given. */
const known = <T extends object>(params: T) =>
  Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined)) as T

async function managedSave({ shim, given: options, session, wanted }: DomainCall): Promise<void> {
  const call = shim.callJob('virDomainManagedSave', { flags: flagsOf(options) })
  const watched = watchJob({ session, shim }, { label: 'Managedsave', verbose: options.has('verbose') }, call)
  await saying(`Failed to save domain '${wanted}' state`, watched)
  session.printExtra(`\nDomain '${wanted}' state saved by libvirt\n`)
}

async function restore(session: Session, options: Given): Promise<void> {
  const file = options.text('file')!
  const dxml = await given(options, 'xml')
  const channels = options.int('parallel-channels')
  await saying(`Failed to restore domain from ${file}`, restored(session, resolve(file), options, { dxml, channels }))
  session.printExtra(`Domain restored from ${file}\n`)
}

interface Restore {
  dxml: string | undefined
  channels: number | undefined
}

/** Has whoever knows the guest restore it; where there is no aggregator, and the guest has no shim, it gets one. */
async function restored(session: Session, file: string, options: Given, { dxml, channels }: Restore): Promise<void> {
  const flags = flagsOf(options)
  const shim = (await session.central()) ?? (await shimOf(session, file))
  if (!shim) {
    const args = Object.keys(FLAGS).filter(name => options.has(name))
    const limit = channels === undefined ? [] : [`--parallel-channels=${channels}`]
    const input = dxml === undefined ? [] : ['-']
    const words = ['--restore', file, ...args.map(name => `--${name}`), ...limit, ...input]
    return startShim(session, words, Buffer.from(dxml ?? ''), false)
  }
  if (channels !== undefined) {
    await shim.callJob('virDomainRestoreParams', {
      params: known({ file, dxml, 'parallel.channels': channels }),
      flags
    })
  } else if (flags !== 0 || dxml !== undefined) await shim.callJob('virDomainRestoreFlags', { from: file, dxml, flags })
  else await shim.callJob('virDomainRestore', { from: file })
}

/** The shim of the guest that an image is of, if it runs. */
async function shimOf(session: Session, file: string) {
  const { readImageFile } = await import('../../drivers/qemu/save/image.ts')
  const { xml } = readImageFile(file)
  const found = (await session.guests()).find(({ report }) => xml.includes(`<uuid>${report.uuid}</uuid>`))
  if (!found) return undefined
  const connections = await session.connections()
  return connections.find(({ socket }) => socket === found.shim.socket)
}

/** Has a definition changed in an editor, and says what has come of it. */
async function edit(session: Session, editable: Editable & { same: string; changed: string }): Promise<void> {
  const { same, changed } = editable
  session.printExtra(`${(await editXml(session, editable)) ? changed : same}\n`)
}

/** A command on an image, by its file. */
const onImage = (
  help: string,
  options: Command['options'],
  run: (session: Session, given: Given, file: string) => Promise<void>
): Command => ({ help, options, run: (session, given) => run(session, given, given.text('file')!) })

export const saveCommands: Commands = {
  save: onDomain(
    'save a domain state to a file',
    {
      ...stateFile('where to save the data'),
      ...bypassCache,
      'parallel-channels': option.int('number of IO channels to use for parallel save', { named: true }),
      'image-format': option.text('format of the save image file', { named: true }),
      ...updated,
      ...states('restore'),
      ...verbose
    },
    save
  ),

  restore: {
    help: 'restore a domain from a saved state in a file',
    options: {
      ...stateFile('the state to restore'),
      'bypass-cache': option.bool('avoid file system cache when restoring'),
      'parallel-channels': option.int('number of IO channels to use for parallel restore', { named: true }),
      ...updated,
      running: option.bool('restore domain into running state'),
      paused: option.bool('restore domain into paused state'),
      'reset-nvram': option.bool('re-initialize NVRAM from its pristine template')
    },
    run: restore
  },

  'save-image-dumpxml': onImage(
    'saved state domain information in XML',
    { ...stateFile('saved state file to read'), ...secure, ...xpathOptions },
    async (session, options, file) => {
      const flags = xmlFlags(options)
      const { xml } = await session.ask('virDomainSaveImageGetXMLDesc', { file: resolve(file), flags })
      session.print(dumped(xml, options))
    }
  ),

  'save-image-define': onImage(
    "redefine the XML for a domain's saved state file",
    { ...stateFile('saved state file to modify'), ...newXml, ...states('restore') },
    async (session, options, file) => {
      const dxml = await xmlIn(options.text('xml')!)
      const call = session.ask('virDomainSaveImageDefineXML', { file: resolve(file), dxml, flags: flagsOf(options) })
      await saying(`Failed to update ${file}`, call)
      session.printExtra(`State file ${file} updated.\n`)
    }
  ),

  'save-image-edit': onImage(
    "edit XML for a domain's saved state file",
    { ...stateFile('saved state file to edit'), ...states('restore') },
    async (session, options, name) => {
      options.exclusive(['running', 'paused'])
      const file = resolve(name)
      await edit(session, {
        get: async () =>
          (await session.ask('virDomainSaveImageGetXMLDesc', { file, flags: VIR_DOMAIN_SAVE_IMAGE_XML_SECURE })).xml,
        define: dxml => session.ask('virDomainSaveImageDefineXML', { file, dxml, flags: flagsOf(options) }),
        same: `Saved image ${name} XML configuration not changed.`,
        changed: `State file ${name} edited.`
      })
    }
  ),

  managedsave: onDomain(
    'managed save of a domain state',
    { ...bypassCache, ...states('next start'), ...verbose },
    managedSave
  ),

  'managedsave-dumpxml': onDomain(
    'Domain information of managed save state file in XML',
    { ...secure, ...xpathOptions },
    async ({ shim, given: options, session }) => {
      const { xml } = await shim.call('virDomainManagedSaveGetXMLDesc', { flags: xmlFlags(options) })
      session.print(dumped(xml, options))
    }
  ),

  'managedsave-define': onDomain(
    "redefine the XML for a domain's managed save state file",
    { ...newXml, ...states('start') },
    async ({ shim, given: options, session, name }) => {
      options.exclusive(['running', 'paused'])
      const dxml = await xmlIn(options.text('xml')!)
      const call = shim.call('virDomainManagedSaveDefineXML', { dxml, flags: flagsOf(options) })
      await saying(`Failed to update ${name} XML configuration`, call)
      session.printExtra(`Managed save state file of domain '${name}' updated.\n`)
    }
  ),

  'managedsave-edit': onDomain(
    "edit XML for a domain's managed save state file",
    states('start'),
    async ({ shim, given: options, session, name }) => {
      options.exclusive(['running', 'paused'])
      await edit(session, {
        get: async () =>
          (await shim.call('virDomainManagedSaveGetXMLDesc', { flags: VIR_DOMAIN_SAVE_IMAGE_XML_SECURE })).xml,
        define: dxml => shim.call('virDomainManagedSaveDefineXML', { dxml, flags: flagsOf(options) }),
        same: `Managed save image of domain '${name}' XML configuration not changed.`,
        changed: `Managed save image of Domain '${name}' XML configuration edited.`
      })
    }
  )
}
