// What no guest has yet: lists of it are empty through the aggregator, over both protocols and for readers, and a guest
// that is shut off is not woken for them.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { bareGuest } from '../../helper/shim.ts'

t.setTimeout(240_000)

const OFF = `t-nothing-${process.pid}`
const ON = `${OFF}-on`

const host = new AggregatorRun()
t.teardown(() => host.end())
await host.start('--idle-timeout', '1')
await host.call('virDomainDefineXML', { xml: bareGuest(OFF) })
await host.call('virDomainCreateXML', { xmlDesc: bareGuest(ON) })
await host.until(OFF, entry => entry?.pids.shim === null)

const LISTS: [api: string, gives: object][] = [
  ['virDomainSnapshotNum', { num: 0 }],
  ['virDomainSnapshotListNames', { names: [] }],
  ['virDomainListAllSnapshots', { snapshots: [] }],
  ['virDomainHasCurrentSnapshot', { result: 0 }],
  ['virDomainListAllCheckpoints', { checkpoints: [] }],
  ['virDomainHasManagedSaveImage', { result: 0 }],
  ['virDomainGetIOThreadInfo', { info: [] }]
]

await t.test('over HTTP', async t => {
  for (const name of [ON, OFF]) {
    for (const socket of ['api.sock', 'api-ro.sock']) {
      for (const [api, gives] of LISTS) {
        const path = `domains/${name}/${api}`
        t.same((await host.call(path, {}, socket)).body, gives, `${name} ${api}`)
        const wrong = await host.call(path, { flags: 2 ** 20 }, socket)
        t.match(
          wrong.body,
          { code: 8, message: /unsupported flags \(0x100000\) in function qemu\w+/ },
          `${name} ${api}`
        )
      }
      const missing = await host.call(`domains/${name}/virDomainSnapshotLookupByName?name=a`, undefined, socket)
      t.match(missing.body, { codeName: 'VIR_ERR_NO_DOMAIN_SNAPSHOT', domainName: 'VIR_FROM_QEMU' })
    }
  }
})

await t.test("over libvirt's protocol, of a guest without a shim", async t => {
  await host.until(OFF, entry => entry?.pids.shim === null)
  for (const readOnly of [false, true]) {
    const uri = `qemu+unix:///system?socket=${join(host.root, readOnly ? 'libvirt-sock-ro' : 'libvirt-sock')}`
    for (const list of ['snapshot-list', 'checkpoint-list', 'snapshot-current']) {
      const options = [...(readOnly ? ['-r'] : []), '-q', '-c', uri, list, OFF]
      const { stdout, stderr } = spawnSync('virsh', options, { encoding: 'utf8', timeout: 60_000 })
      const said = list === 'snapshot-current' ? `error: domain '${OFF}' has no current snapshot` : ''
      t.same([stdout.trim(), stderr.trim()], ['', said], list)
    }
  }
  const { guests } = (await host.call('guests')).body
  t.equal(guests.find(({ name }: { name: string }) => name === OFF).pids.shim, null, 'it was not woken')
})

await t.test('one that has come is told, also once its shim has left', async t => {
  const { body: domain } = await host.call(`domains/${OFF}/virDomainGetXMLDesc?flags=0`)
  const xmlDesc = `<domainsnapshot><name>a</name><state>shutoff</state><creationTime>1</creationTime>${domain.xml}</domainsnapshot>`
  const flags = ['VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE']
  const made = await host.call(`domains/${OFF}/virDomainSnapshotCreateXML`, { xmlDesc, flags })
  t.match(made.body, { snap: { name: 'a' } })
  await host.until(OFF, entry => entry?.pids.shim === null)
  t.same((await host.call(`domains/${OFF}/virDomainSnapshotListNames`, {})).body, { names: ['a'] })
})
