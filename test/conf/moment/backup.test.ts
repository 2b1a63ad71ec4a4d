import t from 'tap'
import { alignBackupDisks, formatBackup, parseBackup } from '../../../src/conf/moment/backup.ts'
import { define, errorOf } from '../../helper/definition.ts'

const DISKS = `
  <disk type='file'><source file='/srv/a'/><target dev='vda'/></disk>
  <disk type='block'><source dev='/dev/vg/b'/><target dev='vdb'/></disk>
  <disk type='file' device='cdrom'><target dev='hdc'/></disk>`

async function aligned(xml: string): Promise<string> {
  const def = parseBackup(xml)
  alignBackupDisks(def, await define(DISKS), 'copy')
  return formatBackup(def).replace(/\n\s*/g, '')
}

t.test('push', async t => {
  t.equal(
    await aligned("<domainbackup><disks><disk name='vda'/></disks></domainbackup>"),
    "<domainbackup mode='push'><disks><disk name='vda' backup='yes' type='file' backupmode='full'>" +
      "<target file='/srv/a.copy'/></disk>" +
      "<disk name='vdb' backup='no'/><disk name='hdc' backup='no'/></disks></domainbackup>"
  )
})

t.test('pull, changes since a checkpoint', async t => {
  const text = `<domainbackup mode='pull'><incremental>c1</incremental>
    <server transport='tcp' tls='yes' name='localhost' port='10809'/>
    <disks><disk name='vda' type='file' exportname='e' exportbitmap='b'><driver type='qcow2'/><scratch file='/s/a'/></disk>
    <disk name='vdb' backup='no'/></disks></domainbackup>`
  t.equal(
    await aligned(text),
    "<domainbackup mode='pull'><incremental>c1</incremental>" +
      "<server transport='tcp' tls='yes' name='localhost' port='10809'/><disks>" +
      "<disk name='vda' backup='yes' type='file' backupmode='incremental' incremental='c1' exportname='e' exportbitmap='b'>" +
      "<driver type='qcow2'/><scratch file='/s/a'/></disk>" +
      "<disk name='vdb' backup='no'/><disk name='hdc' backup='no'/></disks></domainbackup>"
  )
})

t.test('keeps the state of a running job', async t => {
  const text = `<domainbackup mode='pull'><server transport='unix' socket='/run/nbd'/><disks>
    <disk name='vda' state='running' type='file' index='3'><scratch file='/s/a'/></disk></disks>
    <privateData><objects><secret type='tlskey' alias='s0'/><TLSx509 alias='t0'/></objects></privateData></domainbackup>`
  const def = parseBackup(text, { status: true })
  t.match(def, { tlsAlias: 't0', tlsSecretAlias: 's0', disks: [{ state: 'running', store: { index: 3 } }] })
  t.same(parseBackup(formatBackup(def, { status: true }), { status: true }), def)
})

t.test('what cannot be a backup', async t => {
  const cases: [xml: string, error: RegExp][] = [
    ["<domainbackup mode='x'/>", /unknown backup mode 'x'/],
    ["<domainbackup><server name='h'/></domainbackup>", /use of <server> requires pull mode backup/],
    [
      "<domainbackup mode='pull'><server transport='unix' socket='s'/></domainbackup>",
      /backup socket path 's' must be absolute/
    ],
    ["<domainbackup mode='pull'><server transport='rdma' name='h'/></domainbackup>", /transport rdma is not supported/],
    ["<domainbackup><disks><disk name='vda' type='network'/></disks></domainbackup>", /disk backup type 'network'/],
    ["<domainbackup><disks><disk name='vdx'/></disks></domainbackup>", /no disk named 'vdx'/],
    ["<domainbackup><disks><disk name='vda'/><disk name='vda'/></disks></domainbackup>", /'vda' specified twice/],
    ["<domainbackup><disks><disk name='hdc'/></disks></domainbackup>", /disk 'hdc' has no media/],
    [
      "<domainbackup><disks><disk name='vda' backupmode='incremental'/></disks></domainbackup>",
      /requires setting 'incremental' field for disk or backup/
    ],
    ['<domainbackup/>', /refusing to generate file name for disk 'vdb'/],
    ['<domainbackup><what/></domainbackup>', /XML_INVALID_SCHEMA/]
  ]
  for (const [xml, error] of cases) t.match(await errorOf(() => aligned(xml)), error)
})
