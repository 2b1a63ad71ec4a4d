// Calls of the drivers virshim does not have: who looks around finds nothing, who asks for something is told.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { bareGuest, Shim } from '../../helper/shim.ts'

t.setTimeout(120_000)

const RUNNING = 1
const shim = new Shim(bareGuest('t-secondary'))
t.teardown(() => shim.end())
void shim.start()
await shim.untilState(RUNNING)

function virsh(...words: string[]) {
  const uri = `qemu+unix:///system?socket=${join(shim.root, 'libvirt-sock')}`
  return spawnSync('virsh', ['-q', '-c', uri, ...words], { encoding: 'utf8', timeout: 20_000 })
}

t.test('lists and counts are empty', async t => {
  const lists = ['net-list', 'pool-list', 'nwfilter-list', 'nwfilter-binding-list', 'nodedev-list', 'iface-list']
  for (const list of [...lists, 'secret-list']) {
    const { status, stdout, stderr } = virsh(list)
    t.match({ status, stdout: stdout.trim(), stderr }, { status: 0, stdout: '', stderr: '' }, list)
  }
  const script = `import libvirt, sys
c = libvirt.open(sys.argv[1])
print(c.numOfNetworks(), c.numOfDefinedNetworks(), c.numOfStoragePools(), c.numOfDefinedStoragePools(),
  c.numOfInterfaces(), c.numOfDefinedInterfaces(), c.numOfSecrets(), c.numOfNWFilters(), c.numOfDevices(None))
print(c.listNetworks(), c.listStoragePools(), c.listSecrets(), c.listDevices(None))`
  const uri = `qemu+unix:///system?socket=${join(shim.root, 'libvirt-sock-ro')}`
  const { stdout, stderr } = spawnSync('/usr/bin/python3', ['-c', script, uri], { encoding: 'utf8' })
  t.equal(stdout, '0 0 0 0 0 0 0 0 0\n[] [] [] []\n', stderr)
})

t.test('anything else is not supported', async t => {
  for (const command of [
    'net-info nobody',
    'pool-info nobody',
    'secret-dumpxml 5f19289d-0eff-4572-a4b2-defc9d0d4087',
    'nodedev-info nobody'
  ]) {
    const { status, stderr } = virsh(...command.split(' '))
    t.equal(status, 1, command)
    t.match(stderr, /this function is not supported by the connection driver: vir/, command)
  }
})
