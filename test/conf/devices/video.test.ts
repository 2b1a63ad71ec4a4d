import t from 'tap'
import { roundUpPowerOfTwo, videoFields } from '../../../src/conf/devices/video.ts'
import { define, errorOf, throughTable } from '../../helper/definition.ts'

t.test('what is read is written in libvirt’s order', async t => {
  for (const [given, expected] of [
    ['<video/>', "<video><model heads='1'/></video>"],
    ["<video><model type='default' ram='0' vram='0' primary='no'/></video>", "<video><model heads='1'/></video>"],
    [
      "<video><model type='virtio'><resolution x='0' y='5'/><acceleration rendernode='/dev//dri/x/'/></model><driver ats='on' iommu='off' vgaconf='io' name='qemu'/></video>",
      "<video><driver iommu='off' ats='on' name='qemu'/><model type='virtio' heads='1'><acceleration rendernode='/dev/dri/x'/><resolution/></model></video>"
    ],
    [
      "<video><model type='qxl'/><model type='vga' vgamem='8'><resolution x='1' y='1'/></model></video>",
      "<video><model type='qxl' heads='1'/></video>"
    ],
    ["<video><driver vgaconf='nonsense'/></video>", "<video><model heads='1'/></video>"]
  ] as const) {
    t.equal(throughTable(videoFields, given), expected)
  }
})

t.test('refuses numbers and models it does not know', async t => {
  for (const [model, error] of [
    [
      "vram='-1'",
      "VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'vram' in element 'model': '-1'. Expected non-negative integer value"
    ],
    [
      "vram='4294967296'",
      "VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'vram' in element 'model': '4294967296'. Expected non-negative integer value"
    ],
    [
      "heads='x'",
      "VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'heads' in element 'model': 'x'. Expected non-negative integer value"
    ],
    ["type='cga'", "VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'model': 'cga'."]
  ] as const) {
    t.equal(await errorOf(() => throughTable(videoFields, `<video><model ${model}/></video>`)), error)
  }
})

t.test('memory is rounded up to a power of two', async t => {
  t.same([1, 2, 3, 1024, 1025, 2 ** 31].map(roundUpPowerOfTwo), [1, 2, 4, 1024, 2048, 2 ** 31])
  t.equal(roundUpPowerOfTwo(2 ** 31 + 1), undefined)
  const { videos } = (await define("<video><model type='qxl' ram='70000'/></video>")).devices
  t.match(videos, [{ model: { ram: 131072, vram: 65536, vgamem: 16384 } }])
})

t.test('graphics bring an adapter; the primary one comes first', async t => {
  t.match((await define("<graphics type='vnc'/>")).devices.videos, [{ model: { type: 'cirrus', primary: true } }])
  const several = "<video><model type='qxl'/></video><video><model type='virtio' primary='yes'/></video>"
  t.match((await define(several)).devices.videos, [{ model: { type: 'virtio' } }, { model: { type: 'qxl' } }])
})

t.test("model 'none' keeps nothing but its alias, and stands alone", async t => {
  const none = "<video><model type='none' vram='9' heads='3'/><alias name='ua-x'/></video>"
  t.same((await define(none)).devices.videos, [{ model: { type: 'none' }, alias: 'ua-x' }])
  t.match(
    await errorOf(() => define(`${none}<video><model type='qxl'/></video>`)),
    "a 'none' video type must be the only video device defined for the domain"
  )
})

t.test('two primary adapters are one too many', async t => {
  const primary = "<video><model type='qxl' primary='yes'/></video>"
  t.match(await errorOf(() => define(primary + primary)), 'Only one primary video device is supported')
})
