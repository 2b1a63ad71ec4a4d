import t from 'tap'
import type { Capability } from '../../../../src/drivers/qemu/capabilities/signs.ts'
import { argvOf, define, errorOf } from '../../../helper/definition.ts'

const optionsOf = async (xml: string) =>
  (await argvOf(xml)).filter(line => /^-(vnc|spice|display|full-screen|k)\b/.test(line))

t.test('server options', async t => {
  for (const [xml, expected] of [
    ['', ['-display none']],
    ["<graphics type='vnc'/>", ['-vnc 127.0.0.1:0,audiodev=audio1']],
    [
      "<graphics type='vnc' port='5910' listen='2001:db8::1' websocket='5700' sharePolicy='ignore' passwd='x' powerControl='no' keymap='de'/>",
      ['-vnc [2001:db8::1]:10,websocket=5700,share=ignore,password=on,power-control=off,audiodev=audio1', '-k de']
    ],
    ["<graphics type='vnc' socket='/tmp/a,b'/>", ['-vnc vnc=unix:/tmp/a,,b,audiodev=audio1']],
    ["<graphics type='vnc'><listen type='socket'/></graphics>", ['-vnc vnc=unix:/lib/guest/vnc.sock,audiodev=audio1']],
    ["<graphics type='vnc'><listen type='none'/></graphics>", ['-vnc none,audiodev=audio1']],
    ["<graphics type='spice'/>", ['-spice port=0,disable-ticketing=on,seamless-migration=on']],
    [
      "<graphics type='spice' autoport='yes' defaultMode='insecure' passwd='x'><channel name='main' mode='insecure'/><mouse mode='server'/><clipboard copypaste='no'/><clipboard/></graphics>",
      [
        '-spice port=5901,addr=127.0.0.1,agent-mouse=off,plaintext-channel=default,plaintext-channel=main,disable-copy-paste=on,seamless-migration=on'
      ]
    ],
    [
      "<graphics type='spice' tlsPort='-1'/>",
      ['-spice tls-port=5902,addr=127.0.0.1,disable-ticketing=on,x509-dir=/etc/pki/qemu,seamless-migration=on']
    ],
    ["<graphics type='sdl' fullscreen='yes'><gl enable='yes'/></graphics>", ['-full-screen', '-display sdl,gl=on']],
    [
      "<graphics type='egl-headless'><gl rendernode='/dev/dri/r'/></graphics>",
      ['-display egl-headless,rendernode=/dev/dri/r']
    ],
    ["<graphics type='dbus'/>", ['-display dbus,addr=unix:path=/lib/guest/dbus.sock']]
  ] as const) {
    t.same(await optionsOf(xml), expected, xml)
  }
})

t.test('what cannot be', async t => {
  const headless = "<graphics type='egl-headless'><gl rendernode='/r'/></graphics>"
  for (const [xml, error] of [
    ["<graphics type='vnc' port='80'/>", 'vnc port must be in range [5900,65535]'],
    [
      "<graphics type='vnc'/><graphics type='vnc'/>",
      'only 1 graphics device of each type (sdl, vnc, spice, headless, dbus, rdp) is supported'
    ],
    [
      "<graphics type='vnc'><listen type='address'/><listen type='address'/></graphics>",
      'QEMU does not support multiple listens for one graphics device.'
    ],
    ["<graphics type='vnc' passwd='ninechars'/>", 'VNC password is 9 characters long, only 8 permitted'],
    ["<graphics type='rdp'/>", 'rdp graphics are not supported with this QEMU'],
    [
      "<graphics type='spice' tlsPort='5'/>",
      'spice TLS port set in XML configuration, but TLS is disabled in qemu.conf'
    ],
    [
      "<graphics type='spice' port='5910' defaultMode='secure'/>",
      'spice defaultMode secure requested in XML configuration, but TLS connection is not available'
    ],
    [
      "<graphics type='spice' tlsPort='-1'><channel name='main' mode='insecure'/></graphics>",
      'spice insecure channels set in XML configuration, but plaintext connection is not available'
    ],
    [
      `${headless}<graphics type='sdl'/>`,
      "graphics type 'egl-headless' is only supported with one of: 'vnc', 'spice' graphics types"
    ],
    [
      `${headless}<graphics type='spice'><gl enable='yes'/></graphics>`,
      'multiple OpenGL displays are not supported by QEMU'
    ],
    [
      "<graphics type='dbus'><audio id='1'/></graphics><audio id='1' type='none'/>",
      "The associated audio is not of 'dbus' kind."
    ]
  ] as const) {
    t.match(await errorOf(() => argvOf(xml)), error)
  }
})

t.test('what this QEMU lacks', async t => {
  const lacks = (xml: string, ...missing: Capability[]) => errorOf(() => define(xml, { missing }))
  t.match(await lacks("<graphics type='sdl'/>", 'sdl'), 'sdl graphics are not supported with this QEMU')
  t.match(await lacks("<graphics type='vnc' powerControl='yes'/>", 'vnc-power-control'), 'VNC power control')
})

t.test('a VNC socket in the driver’s directory was not the user’s', async t => {
  t.same(await optionsOf("<graphics type='vnc' socket='/var/lib/libvirt/qemu/x'/>"), [
    '-vnc 127.0.0.1:0,audiodev=audio1'
  ])
})
