// What a client has just done is in what is told next, to itself and to every other client: no time in between.
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
  t.equal(await python(CLIENT, [uri, '25'], bareGuest('t-own')), 'done\n')
})

/** Each change on one connection or over HTTP, each question on two others, which change nothing, and over HTTP. */
const CLIENTS = `
import http.client, json, socket, sys, libvirt
libvirt.registerErrorHandler(lambda *_: None, None)
root, rounds = sys.argv[1], int(sys.argv[2])
uri = 'qemu+unix:///system?socket=' + root + '/libvirt-sock'
xml = sys.stdin.read()
class Http(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(root + '/api.sock')
def ask(method, path):
    conn = Http('localhost')
    conn.request(method, path, '{}' if method == 'POST' else None, {'content-type': 'application/json'})
    body = json.loads(conn.getresponse().read())
    conn.close()
    return body
def views():
    return [(g['state'], g['id'] != -1) for g in ask('GET', '/v1/guests')['guests']]
writer, readers = libvirt.open(uri), [libvirt.open(uri) for _ in range(2)]
def expect(what, state):
    readers.reverse()
    first, second = readers
    dom = first.lookupByName('t-others')
    uuid = dom.UUIDString()
    got = [dom.ID() != -1, second.listAllDomains(1) != [], dom.state()[0], second.lookupByUUIDString(uuid).state()[0]]
    wanted = [state != 5, state != 5, state, state]
    if got != wanted: print('round', n, what, got)
    if views() != [(state, state != 5)]: print('round', n, what, views())
writer.defineXML(xml)
for n in range(rounds):
    writer.lookupByName('t-others').create()
    expect('started', 1)
    writer.lookupByName('t-others').suspend()
    expect('suspended', 3)
    ask('POST', '/v1/domains/t-others/virDomainResume')
    expect('resumed over HTTP', 1)
    writer.lookupByName('t-others').destroy()
    expect('destroyed', 5)
    ask('POST', '/v1/domains/t-others/virDomainCreate')
    expect('started over HTTP', 1)
    ask('POST', '/v1/domains/t-others/virDomainDestroy')
    expect('destroyed over HTTP', 5)
print('done')
`

t.test('other connections, and HTTP, are told of it as well', async t => {
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await aggregator.start()
  t.equal(await python(CLIENTS, [aggregator.root, '10'], bareGuest('t-others')), 'done\n')
})

/** What a program says. */
async function python(program: string, args: string[], input: string): Promise<string> {
  const child = spawn('/usr/bin/python3', ['-c', program, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', chunk => {
    out += chunk
  })
  child.stdin.end(input)
  await new Promise(resolve => child.once('close', resolve))
  return out
}
