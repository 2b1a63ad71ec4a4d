// What a client has just done is in what it is told next: one connection, no time in between.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { bareGuest } from '../../helper/shim.ts'

t.setTimeout(180_000)

/** Says what is not as it was left, a line each. */
const CLIENT = `
import sys, libvirt
libvirt.registerErrorHandler(lambda *_: None, None)
uri, rounds = sys.argv[1], int(sys.argv[2])
xml = sys.stdin.read()
conn = libvirt.open(uri)
def names(flags):
    return sorted(dom.name() for dom in conn.listAllDomains(flags))
def expect(what, got, wanted):
    if got != wanted: print('round', n, what, got)
def found(name):
    try: return conn.lookupByName(name).name()
    except libvirt.libvirtError as error: return error.get_error_code()
for n in range(rounds):
    dom = conn.defineXML(xml)
    expect('defined', names(2), ['t-own'])
    dom.rename('t-own-new')
    expect('renamed', [found('t-own'), found('t-own-new'), names(0)], [42, 't-own-new', ['t-own-new']])
    dom.undefine()
    expect('undefined', [found('t-own-new'), names(0)], [42, []])
    dom = conn.createXML(xml)
    expect('created', [found('t-own'), names(1)], ['t-own', ['t-own']])
    dom.suspend()
    expect('suspended', [names(32), names(16)], [['t-own'], []])
    dom.destroy()
    expect('destroyed', [found('t-own'), names(0)], [42, []])
print('done')
`

t.test('guests are defined, renamed, undefined, created, suspended and destroyed', async t => {
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await aggregator.start()
  const uri = `qemu+unix:///system?socket=${join(aggregator.root, 'libvirt-sock')}`
  const python = spawn('/usr/bin/python3', ['-c', CLIENT, uri, '25'], { stdio: ['pipe', 'pipe', 'inherit'] })
  let out = ''
  python.stdout.on('data', chunk => {
    out += chunk
  })
  python.stdin.end(bareGuest('t-own'))
  await new Promise(resolve => python.once('close', resolve))
  t.equal(out, 'done\n')
})
