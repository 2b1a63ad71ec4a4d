// XPath expressions on a guest's XML, beside virsh's own on the guest of libvirt's test driver.
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { xpathParts } from '../../src/client/xpath.ts'

const virsh = (...words: string[]) =>
  spawnSync('virsh', ['-c', 'test:///default', 'dumpxml', 'test', ...words], { encoding: 'utf8', timeout: 60_000 })
const xml = virsh().stdout

const EXPRESSIONS = [
  '/domain/name',
  '//disk',
  'domain/devices/*',
  'devices/*',
  '.',
  '/domain/devices/disk/@type',
  '//@type',
  '/domain/name/text()',
  '//interface[1]',
  '//interface[last()]/mac/@address',
  "//*[@type='file']",
  "//disk[target/@dev='hda']/source",
  "//devices/*[contains(@type, 'i') and not(@device)]",
  "//*[starts-with(name(), 'me')]",
  '//interface/..',
  '//disk | /domain/vcpu | //disk',
  '/domain/*[position() <= 2]',
  '//devices/*[count(*) > 2 or @bus]',
  '/domain/memory[. > 1000]',
  "/domain/vcpu[number and true() or string() = '2']",
  '/domain/nosuch',
  '/domain//text()[normalize-space()]'
]

for (const wrap of [false, true]) {
  t.test(wrap ? 'wrapped' : 'each by itself', async t => {
    for (const expression of EXPRESSIONS) {
      const { stdout } = virsh('--xpath', expression, ...(wrap ? ['--wrap'] : []))
      t.equal(xpathParts(xml, expression, wrap).trimEnd(), stdout.trimEnd(), expression)
    }
  })
}

t.test('what is no expression, or gives no nodes', async t => {
  for (const expression of ['', '/domain[', '/domain/', 'a b', '///', ')', 'nosuch()']) {
    t.throws(() => xpathParts(xml, expression, false), /Invalid expression/, expression)
  }
  for (const expression of ['1', "'text'", 'count(//disk)']) {
    t.throws(() => xpathParts(xml, expression, false), /Invalid type/, expression)
    t.equal(virsh('--xpath', expression).status, 1, expression)
  }
})
