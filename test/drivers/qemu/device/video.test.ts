import t from 'tap'
import type { Capability } from '../../../../src/drivers/qemu/capabilities/signs.ts'
import { argvOf, errorOf } from '../../../helper/definition.ts'

async function devicesOf(xml: string, missing: Capability[] = []): Promise<object[]> {
  const lines = (await argvOf(xml, { missing })).filter(line => line.includes('"video'))
  return lines.map(line => {
    const { id, bus, addr, ...props } = JSON.parse(line.slice('-device '.length))
    return props
  })
}
const one = (model: string) => `<video><model ${model}/></video>`

t.test('a device for each model', async t => {
  for (const [model, expected] of [
    ["type='vga' vram='1025'", { driver: 'VGA', vgamem_mb: 2 }],
    ["type='cirrus'", { driver: 'cirrus-vga' }],
    ["type='vmvga'", { driver: 'vmware-svga', vgamem_mb: 16 }],
    [
      "type='qxl' vram64='3072'",
      { driver: 'qxl-vga', max_outputs: 1, ram_size: 2 ** 26, vram_size: 2 ** 26, vram64_size_mb: 3, vgamem_mb: 16 }
    ],
    ["type='virtio' heads='0'", { driver: 'virtio-vga' }],
    ["type='bochs'", { driver: 'bochs-display', vgamem: 2 ** 24 }],
    ["type='ramfb'", { driver: 'ramfb' }]
  ] as const) {
    t.same(await devicesOf(one(model)), [expected], model)
  }
})

t.test('secondary adapters are not VGA compatible', async t => {
  const both = `${one("type='vga'")}<video><driver packed='on'/><model type='virtio' heads='2'/></video>${one("type='qxl'")}`
  t.match(await devicesOf(both), [
    { driver: 'VGA' },
    { driver: 'virtio-gpu-pci', packed: true, max_outputs: 2 },
    { driver: 'qxl' }
  ])
})

t.test('3D acceleration', async t => {
  const xml = "<video><model type='virtio'><acceleration accel3d='yes'/></model></video>"
  t.match(await devicesOf(xml), [{ driver: 'virtio-vga-gl' }])
  t.match(await devicesOf(xml, ['virtio-vga-gl']), [{ driver: 'virtio-vga', virgl: true }])
  const none: Capability[] = ['virtio-vga-gl', 'virtio-gpu-gl-pci', 'virtio-gpu.virgl']
  t.match(await errorOf(() => devicesOf(xml, none)), '3d acceleration is not supported by this QEMU binary')
})

t.test('what cannot be', async t => {
  for (const [xml, error] of [
    [one("type='xen'"), "domain configuration does not support video model 'xen'"],
    [one("type='vga' heads='2'"), "video type 'vga' doesn't support multiple 'heads'"],
    [one("type='qxl'") + one("type='vga'"), "video type 'vga' is only valid as primary video device"],
    [one("type='vga' vram='512'"), "value for 'vram' must be at least 1 MiB (1024 KiB)"],
    [one("type='qxl' vgamem='3000'"), "value for 'vgamem' must be power of two"],
    [one("type='qxl' vram='4194304'"), 'VIR_ERR_OVERFLOW'],
    [one("type='vga' ram='1'"), 'ram attribute only supported for video type qxl'],
    ["<video><model type='cirrus'><resolution x='1' y='1'/></model></video>", 'model resolution is not supported'],
    ["<video><driver ats='on'/><model type='vga'/></video>", 'ats driver option is only supported for virtio devices'],
    ["<video><driver name='vhostuser'/><model type='virtio'/></video>", 'Unable to find a satisfying vhost-user-gpu'],
    ["<video><model type='ramfb'/><address type='pci' slot='4'/></video>", 'address not supported for video type ramfb']
  ] as const) {
    t.match(await errorOf(() => argvOf(xml)), error)
  }
})

t.test("virtio's device by name, and EDID", async t => {
  for (const [xml, expected] of [
    [one("type='virtio' device='virtio-gpu' edid='off'"), [{ driver: 'virtio-gpu-pci', max_outputs: 1, edid: false }]],
    [one("type='virtio' device='virtio-vga-gl'"), [{ driver: 'virtio-vga-gl', max_outputs: 1 }]],
    [one("type='vga' device='virtio-vga' edid='on'"), [{ driver: 'VGA', vgamem_mb: 16, edid: true }]],
    [
      one("type='virtio' device='virtio-vga'") + one("type='virtio' device='virtio-gpu-gl'"),
      [
        { driver: 'virtio-vga', max_outputs: 1 },
        { driver: 'virtio-gpu-gl-pci', max_outputs: 1 }
      ]
    ]
  ] as const) {
    t.same(await devicesOf(xml), expected, xml)
  }
  const vhostUser = (device: string) =>
    `<video><driver name='vhostuser'/><model type='virtio' device='${device}'/></video>`
  const refused = (message: string) => `VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: ${message}`
  for (const [xml, message, missing] of [
    [
      one("type='virtio'") + one("type='virtio' device='virtio-vga'"),
      "the 'virtio-vga' virtio video device frontend can be only used as primary video device"
    ],
    [vhostUser('virtio-gpu'), "the 'virtio-gpu' virtio video device doesn't match the selected vhostuser backend"],
    [
      one("type='virtio' device='vhost-user-gpu'"),
      "the 'vhost-user-gpu' virtio video device doesn't match the selected vhostuser backend"
    ],
    [
      one("type='virtio' device='virtio-vga-gl'"),
      "this QEMU doesn't support the 'virtio-vga-gl' virtio video device frontend",
      ['virtio-vga-gl']
    ],
    [one("type='cirrus' edid='on'"), "video type 'cirrus' does not support edid"]
  ] as [string, string, Capability[]?][]) {
    t.equal(await errorOf(() => argvOf(xml, { missing: missing ?? [] })), refused(message), xml)
  }
  t.match(await errorOf(() => argvOf(one("type='virtio' device='vga'"))), /Invalid value for attribute 'device'/)
})
