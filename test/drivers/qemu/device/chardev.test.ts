import t from 'tap'
import { DEFAULT_CONFIG } from '../../../../src/drivers/qemu/context.ts'
import { argvOf, define, errorOf, type GuestOptions } from '../../../helper/definition.ts'

/** Arguments of character devices, places on buses left out. */
async function chardevsOf(devices: string, options: GuestOptions = {}): Promise<string[]> {
  const lines = await argvOf(devices, options)
  return lines
    .filter(line => /chardev|tls-creds|guestfwd|^-serial/.test(line) && !line.includes('monitor'))
    .map(line => line.replace(/"bus":"[^"]*",("nr":\d+,)?/, '').replace(/,"bus":"[^"]*","(addr|port)":"[^"]*"/, ''))
}

t.test('backends', async t => {
  for (const [source, expected] of [
    [
      "type='file'><source path='/a,b' append='off'/><log file='/l' append='on'/>",
      'file,id=charserial0,path=/a,,b,append=off,logfile=/l,logappend=on'
    ],
    ["type='dev'><source path='/dev/ttyS0'/>", 'serial,id=charserial0,path=/dev/ttyS0'],
    ["type='udp'><source service='7'/>", 'udp,id=charserial0,host=,port=7,localaddr=,localport=0'],
    [
      "type='tcp'><source mode='bind' host='h' service='1'/><protocol type='telnet'/>",
      'socket,id=charserial0,host=h,port=1,telnet=on,server=on,wait=off'
    ],
    [
      "type='unix'><source path='/s'><reconnect enabled='yes' timeout='4'/></source>",
      'socket,id=charserial0,path=/s,reconnect-ms=4000'
    ],
    [
      "type='unix'><source path='/s'><reconnect enabled='no'/></source>",
      'socket,id=charserial0,path=/s,reconnect-ms=0'
    ],
    [
      "type='qemu-vdagent'><source><clipboard copypaste='yes'/><mouse mode='server'/></source>",
      'qemu-vdagent,id=charserial0,name=vdagent,clipboard=on,mouse=off'
    ],
    ["type='dbus'><source channel='a.b'/>", 'dbus,id=charserial0,name=a.b']
  ] as const) {
    t.equal((await chardevsOf(`<serial ${source}</serial>`))[0], `-chardev ${expected}`)
  }
})

t.test('TLS: credentials come first, and both sides check', async t => {
  const [creds, chardev] = await chardevsOf(
    "<serial type='tcp'><source mode='bind' host='h' service='1' tls='yes'/></serial>",
    { config: { ...DEFAULT_CONFIG, chardevTlsX509CertDir: '/pki' } }
  )
  t.equal(
    creds,
    '-object {"qom-type":"tls-creds-x509","id":"objcharserial0_tls0","dir":"/pki","endpoint":"server","verify-peer":true}'
  )
  t.match(chardev, ',tls-creds=objcharserial0_tls0')
})

t.test('targets', async t => {
  t.same(
    await chardevsOf(
      "<serial type='null'/><serial type='null'><target type='isa-debug'/></serial><parallel type='dev'><source path='/p'/></parallel>" +
        "<channel type='unix'><target type='virtio' name='org.a'/></channel><channel type='unix'><target type='virtio'/></channel>" +
        "<channel type='null'><target type='guestfwd' address='10.0.2.1' port='80'/></channel><console type='null'><target type='virtio'/></console>"
    ),
    [
      '-chardev null,id=charserial0',
      '-device {"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0}',
      '-chardev null,id=charserial1',
      '-device {"driver":"isa-debugcon","chardev":"charserial1","id":"serial1"}',
      '-chardev parallel,id=charparallel0,path=/p',
      '-device {"driver":"isa-parallel","chardev":"charparallel0","id":"parallel0"}',
      '-chardev socket,id=charchannel0,path=/lib/channel/guest/org.a,server=on,wait=off',
      '-device {"driver":"virtserialport","chardev":"charchannel0","id":"channel0","name":"org.a"}',
      '-chardev socket,id=charchannel1,path=/lib/channel/guest/vioser-00-00-02.sock,server=on,wait=off',
      '-device {"driver":"virtserialport","chardev":"charchannel1","id":"channel1"}',
      '-chardev null,id=charchannel2',
      '-netdev {"type":"user","guestfwd":[{"str":"tcp:10.0.2.1:80-chardev:charchannel2"}],"id":"channel2"}',
      '-chardev null,id=charconsole1',
      '-device {"driver":"virtconsole","chardev":"charconsole1","id":"console1"}'
    ]
  )
})

t.test('sockets libvirt made up are forgotten, those of the user kept', async t => {
  for (const [path, kept] of [
    ['/run/libvirt/qemu/channel/3-guest/org.a', false],
    ['/run/libvirt/qemu/channel/domain-3-guest/org.a', false],
    ['/var/lib/libvirt/qemu/channel/target/domain-guest/org.a', false],
    ['/etc/libvirt/qemu/channel/target/guest.org.a', false],
    ['/lib/channel/guest/org.a', false],
    ['/run/libvirt/qemu/channel/guest/org.a', true],
    ['/run/libvirt/qemu/channel/3-guest/org.b', true],
    ['/elsewhere/domain-3-guest/org.a', true],
    ['/run/org.a', true]
  ] as const) {
    const xml = `<channel type='unix'><source mode='bind' path='${path}'/><target type='virtio' name='org.a'/></channel>`
    const { source } = (await define(xml)).devices.channels[0]!
    t.equal(source.type === 'unix' && source.path === path, kept, path)
  }
})

t.test('refuses with libvirt’s words', async t => {
  for (const [devices, error] of [
    ["<serial type='nmdm'/>", "unsupported chardev 'nmdm'"],
    [
      "<serial type='pty'><target type='sclp-serial'/></serial>",
      'not compatible with guest architecture or machine type'
    ],
    [
      "<serial type='pty'><target type='pci-serial'/><address type='isa'/></serial>",
      "Target type 'pci-serial' requires address type 'pci'"
    ],
    [
      "<serial type='pty'><target type='usb-serial'><model name='pci-serial'/></target></serial>",
      "Target model 'pci-serial' requires target type 'pci-serial'"
    ],
    ["<serial type='pty'><target type='system-serial'/></serial>", 'Invalid target model for serial device'],
    [
      "<channel type='spicevmc'><target type='virtio'/></channel>",
      "chardev 'spicevmc' not supported without spice graphics"
    ],
    [
      "<console type='null'><target type='virtio'/><address type='pci'/></console>",
      'virtio serial device has invalid address type'
    ],
    ["<channel type='null'><target type='xen'/></channel>", "channel target 'xen' is not supported by QEMU"]
  ] as const) {
    t.match(await errorOf(() => argvOf(devices)), error)
  }
  const noPci = { missing: ['pci-serial' as const] }
  t.match(
    await errorOf(() => argvOf("<serial type='null'><target type='pci-serial'/></serial>", noPci)),
    "'pci-serial' is not supported in this QEMU binary"
  )
})
