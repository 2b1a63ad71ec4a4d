import t from 'tap'
import { serialFields } from '../../../src/conf/devices/chardev.ts'
import { type ChardevSource, sameChardevSource } from '../../../src/conf/devices/chardev-source.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

const TARGET = "<target port='0'/>"
const again = (inside: string, type: string, contexts = {}) =>
  throughTable(serialFields, `<serial type='${type}'>${inside}${TARGET}</serial>`, contexts)
    .replace(TARGET, '')
    .replace(/<serial type='[^']*'>|<\/serial>/g, '')

t.test('every backend is written as it was read', async t => {
  for (const [type, inside] of [
    ['null', ''],
    ['file', "<source path='/a' append='on'/><log file='/b' append='off'/>"],
    ['udp', "<source mode='bind' host='a' service='1'/><source mode='connect' service='2'/>"],
    ['tcp', "<source mode='connect' host='a' service='1' tls='yes'/><protocol type='telnet'/>"],
    ['unix', "<source mode='connect' path='/a'><reconnect enabled='yes' timeout='3'/></source>"],
    ['unix', "<source mode='bind' path='/a'><seclabel model='dac' relabel='no'/></source>"],
    ['spiceport', "<source channel='a.b'/>"],
    ['nmdm', "<source master='/a' slave='/b'/>"],
    ['qemu-vdagent', "<source><clipboard copypaste='no'/><mouse mode='client'/></source>"]
  ] as const) {
    t.equal(again(inside, type), inside, type)
  }
})

t.test('what libvirt fills in or leaves out', async t => {
  t.equal(again('', 'tcp'), "<source mode='connect'/><protocol type='raw'/>")
  t.equal(
    again("<source service='1'/><source mode='connect' service='2'/>", 'udp'),
    "<source mode='connect' service='1'/>"
  )
  t.equal(again("<source path='/dev/pts/1'/>", 'pty'), '')
  t.equal(
    again("<source path='/dev/pts/1'/>", 'pty', { parse: { inactive: false }, format: { inactive: false } }),
    "<source path='/dev/pts/1'/>"
  )
  t.equal(again("<log append='on'/>", 'null'), '', 'a log needs a file')
})

t.test('TLS by configuration is ours to remember, not a peer’s to obey', async t => {
  const inside = "<source mode='bind' host='a' service='1' tls='no' tlsFromConfig='1'/><protocol type='raw'/>"
  const status = { inactive: false, status: true }
  t.equal(again(inside, 'tcp', { parse: status, format: status }), inside)
  t.notMatch(again(inside, 'tcp', { parse: status, format: { inactive: false, migratable: true } }), 'tls')
})

t.test('refuses with libvirt’s words', async t => {
  for (const [type, inside, error] of [
    ['teletype', '', 'unknown type presented to host for character device: teletype'],
    ['file', "<source path='/a'/><source path='/b'/>", 'only one source element is allowed for character device'],
    ['udp', '<source/><source/><source/>', 'only two source elements are allowed for character device'],
    ['tcp', "<source mode='listen'/>", "Invalid value for attribute 'mode' in element 'source': 'listen'."],
    ['tcp', "<protocol type='ssh'/>", "Invalid value for attribute 'type' in element 'protocol': 'ssh'."],
    ['unix', "<source><reconnect enabled='yes'/></source>", "Missing required attribute 'timeout'"],
    ['qemu-vdagent', '<source><mouse/></source>', "Missing required attribute 'mode'"],
    ['null', '<log/><log/>', 'only one log element is allowed for character device'],
    [
      'file',
      "<source path='/a'><seclabel relabel='no'><label>x</label></seclabel></source>",
      'Cannot specify a label if relabelling is turned off. model=<null>'
    ]
  ] as const) {
    t.match(await errorOf(() => again(inside, type)), error)
  }
})

t.test('two backends are the same by what QEMU would open', async t => {
  const a: ChardevSource = { type: 'tcp', mode: 'bind', host: 'h', service: '1', protocol: 'raw' }
  t.ok(sameChardevSource(a, { ...a, tls: true, log: { file: '/x' } }))
  t.notOk(sameChardevSource(a, { ...a, protocol: 'telnet' }))
  t.notOk(sameChardevSource(a, { type: 'pty' }))
})
