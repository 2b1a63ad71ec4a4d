// Files that a guest gets and loses while it runs, where its QEMU runs as a user of its own: devices, media, overlays,
// copies and what is committed into. Each is that user's as long as QEMU has it, whoever is killed meanwhile.
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  checkGivenBack,
  destroy,
  guestWithFiles,
  LIMIT_MS,
  onlyRoot,
  RUNNING,
  running,
  uidOf
} from '../helper/owned-guest.ts'
import { attributesOf, ownerOf, succeedsAs } from '../helper/owners.ts'
import type { Shim } from '../helper/shim.ts'

const skip = onlyRoot
t.setTimeout(300_000)

const THEIRS = '1234:1235 600'
const LIVE = ['VIR_DOMAIN_AFFECT_LIVE']

/** A guest that runs, and what it takes to see its files. */
async function scene(t: Test, name: string) {
  const guest = guestWithFiles(t, name)
  const [exited] = await running(guest.shim)
  const uid = uidOf(guest.shim)
  const { shim } = guest
  const call = async (api: string, args: object) => {
    const { status, body } = await shim.call(api, args)
    t.equal(status, 200, `${api} ${body.message ?? ''}`)
    return body
  }
  // the group's bits are those of the ACL, where it has one
  const isOurs = (file: string) => t.match(ownerOf(file), new RegExp(`^${uid}:${uid} 6.0$`), `${file} is the guest’s`)
  const end = async () => {
    await destroy(t, shim)
    t.equal(await exited, 0)
    checkGivenBack(t, guest.files)
  }
  return { ...guest, exited, uid, call, isOurs, end }
}

const usbDisk = (file: string) =>
  `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${file}'/><target dev='sdb' bus='usb'/></disk>`
const medium = (file?: string) =>
  `<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>${file === undefined ? '' : `<source file='${file}'/>`}
    <target dev='sda' bus='sata'/></disk>`

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; !(await isSo()); await sleep(20)) {
    if (Date.now() > deadline) throw new Error(`not so in time: ${what}`)
  }
}

const xmlOf = async (shim: Shim): Promise<string> => (await shim.call('virDomainGetXMLDesc')).body.xml

t.test('devices that come and go', { skip }, async t => {
  const { shim, at, call, isOurs, end } = await scene(t, 't-live')
  await call('virDomainAttachDeviceFlags', { xml: usbDisk(at('second')), flags: LIVE })
  isOurs(at('second'))
  await call('virDomainDetachDeviceFlags', { xml: usbDisk(at('second')), flags: LIVE })
  await until('it is gone', async () => !(await xmlOf(shim)).includes(at('second')))
  checkGivenBack(t, [at('second')])

  const other = guestWithFiles(t, 't-live-other')
  const [exited] = await running(other.shim)
  const refused = await shim.call('virDomainAttachDeviceFlags', { xml: usbDisk(other.at('top')), flags: LIVE })
  t.match(refused.body, {
    codeName: 'VIR_ERR_OPERATION_INVALID',
    message: /Setting different DAC user or group on .*top which is already in use/
  })
  t.notMatch(await xmlOf(shim), other.at('top'))
  t.notOk(succeedsAs(uidOf(shim), 'cat', other.at('top')))
  await destroy(t, other.shim)
  await exited
  checkGivenBack(t, other.files)

  const broken = usbDisk(at('second')).replace("'raw'", "'qcow2'")
  t.not((await shim.call('virDomainAttachDeviceFlags', { xml: broken, flags: LIVE })).status, 200)
  checkGivenBack(t, [at('second')])
  await end()
})

t.test('media', { skip }, async t => {
  const { shim, at, uid, call, exited } = await scene(t, 't-live-media')
  const change = (file?: string) => call('virDomainUpdateDeviceFlags', { xml: medium(file), flags: LIVE })
  await change(at('second'))
  t.ok(succeedsAs(uid, 'cat', at('second')))
  t.notOk(succeedsAs(uid, 'cat', at('iso')))
  checkGivenBack(t, [at('iso')])
  await change()
  checkGivenBack(t, [at('iso'), at('second')])
  await change(at('iso'))
  t.ok(succeedsAs(uid, 'cat', at('iso')))
  shim.child?.kill('SIGKILL')
  await exited
  const again = shim.start('--inactive')
  await shim.untilState(RUNNING, LIMIT_MS)
  await change(at('second'))
  checkGivenBack(t, [at('iso')])
  await destroy(t, shim)
  t.equal(await again, 0)
  checkGivenBack(t, [at('second'), at('iso'), at('top')])
})

t.test('what a killed shim was giving is taken back by the next', { skip }, async t => {
  const { shim, at, exited } = await scene(t, 't-live-kill')
  void shim.call('virDomainAttachDeviceFlags', { xml: usbDisk(at('second')), flags: LIVE }).catch(() => undefined)
  const status = () => readFileSync(join(shim.root, 'status.json'), 'utf8')
  await until('it says so', () => status().includes(`"path": "${at('second')}"`))
  shim.child?.kill('SIGKILL')
  await exited
  const again = shim.start('--inactive')
  await shim.untilState(RUNNING, LIMIT_MS)
  const has = (await xmlOf(shim)).includes(at('second'))
  if (has) t.not(ownerOf(at('second')), THEIRS, 'QEMU has it')
  else checkGivenBack(t, [at('second')])
  await destroy(t, shim)
  t.equal(await again, 0)
  checkGivenBack(t, [at('second'), at('top')])
})

/** Waits for a block job's end, or until it is ready. */
async function job(shim: Shim, isReady = false): Promise<void> {
  await until('the job is over', async () =>
    isReady
      ? /<mirror [^>]*ready='yes'/.test(await xmlOf(shim))
      : !(await shim.call('virDomainGetBlockJobInfo', { disk: 'vda' })).body.found
  )
}

const PIVOT = ['VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT']

t.test('overlays, and what is committed into', { skip }, async t => {
  const { shim, at, call, isOurs, end } = await scene(t, 't-live-overlay')
  const snapshot = (file: string) =>
    call('virDomainSnapshotCreateXML', {
      xmlDesc: `<domainsnapshot><disks><disk name='vda' snapshot='external'><source file='${file}'/></disk>
        <disk name='sda' snapshot='no'/></disks></domainsnapshot>`,
      flags: ['VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY', 'VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA']
    })
  await snapshot(at('one'))
  await snapshot(at('two'))
  isOurs(at('two'))
  const commit = (base: string, top: string, flags: string[] = []) =>
    call('virDomainBlockCommit', { disk: 'vda', base, top, bandwidth: 0, flags })
  await commit(at('top'), at('one'))
  await job(shim)
  t.match(ownerOf(at('one')), /^0:0 /, 'an image that nothing stands on is ours')
  t.same(attributesOf(at('one')), {})
  await commit(at('base'), at('top'))
  await job(shim)
  checkGivenBack(t, [at('top')])
  isOurs(at('base'))
  await call('virDomainBlockCommit', { disk: 'vda', bandwidth: 0, flags: ['VIR_DOMAIN_BLOCK_COMMIT_ACTIVE'] })
  await job(shim, true)
  await call('virDomainBlockJobAbort', { disk: 'vda', flags: PIVOT })
  await job(shim)
  t.match(ownerOf(at('two')), /^0:0 /)
  isOurs(at('base'))
  await end()
})

t.test('copies', { skip }, async t => {
  const { shim, at, call, isOurs, end } = await scene(t, 't-live-copy')
  const copy = async (file: string, flags: string[] = []) => {
    await call('virDomainBlockCopy', {
      disk: 'vda',
      destxml: `<disk type='file'><source file='${file}'/><driver type='qcow2'/></disk>`,
      params: {},
      flags: ['VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB', ...flags]
    })
    await job(shim, true)
    isOurs(file)
  }
  await copy(at('copy'))
  await call('virDomainBlockJobAbort', { disk: 'vda', flags: [] })
  await job(shim)
  t.match(ownerOf(at('copy')), /^0:0 /)
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', at('there'), '8M'])
  chmodSync(at('there'), 0o600)
  chownSync(at('there'), 1234, 1235)
  await copy(at('there'), ['VIR_DOMAIN_BLOCK_COPY_REUSE_EXT'])
  await call('virDomainBlockJobAbort', { disk: 'vda', flags: PIVOT })
  await job(shim)
  isOurs(at('there'))
  checkGivenBack(t, [at('top'), at('base')])
  await call('virDomainBlockPull', { disk: 'vda', bandwidth: 0, flags: [] })
  await job(shim)
  await end()
  checkGivenBack(t, [at('there')])
})

t.test('backups, and memory in files', { skip }, async t => {
  const { shim, at, call, exited } = await scene(t, 't-live-backup')
  await call('virDomainBackupBegin', {
    backupXML: `<domainbackup mode='push'><disks><disk name='vda' type='file'><driver type='qcow2'/>
      <target file='${at('backup')}'/></disk><disk name='sda' backup='no'/></disks></domainbackup>`,
    flags: []
  })
  await until('it is through', async () => (await shim.call('virDomainGetJobInfo', {})).body.type === 0)
  await until('the copy is ours', () => /^0:0 /.test(ownerOf(at('backup'))))
  await call('virDomainCoreDumpWithFormat', {
    to: at('core'),
    dumpformat: 0,
    flags: ['VIR_DUMP_MEMORY_ONLY', 'VIR_DUMP_LIVE']
  })
  t.match(ownerOf(at('core')), /^0:0 /)
  await call('virDomainSave', { to: at('saved') })
  t.equal(await exited, 0)
  t.match(ownerOf(at('saved')), /^0:0 /)
  checkGivenBack(t, [at('top'), at('base'), at('iso')])
  const again = shim.run('bin/virshimd', [
    '--root',
    shim.root,
    '--uid-range',
    '232000-232999',
    '--restore',
    at('saved')
  ])
  await shim.untilState(RUNNING, LIMIT_MS)
  const uid = uidOf(shim)
  t.equal(ownerOf(at('top')), `${uid}:${uid} 600`)
  await destroy(t, shim)
  t.equal(await again, 0)
  checkGivenBack(t, [at('top'), at('base'), at('iso')])
})
