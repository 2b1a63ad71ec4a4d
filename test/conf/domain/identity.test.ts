import t from 'tap'
import { checkDefinable } from '../../../src/conf/domain/identity.ts'
import { loadDomain } from '../../../src/drivers/qemu/definition/passes.ts'
import { argvOf, define, errorOf, guestXml, testContext } from '../../helper/definition.ts'

const named = async (name: string) =>
  (await loadDomain(guestXml('').replace('>guest<', `>${name}<`), async () => testContext())).def.name

t.test('names', async t => {
  for (const name of [' spaces ', 'a,b=c', 'ü.:', '&lt;']) t.equal(await errorOf(() => named(name)), 'accepted', name)
  t.match(await errorOf(() => named('')), /NO_NAME/)
  t.match(await errorOf(() => named('a/b')), /XML_ERROR: .*name a\/b cannot contain '\/'/)
  t.match(await errorOf(() => checkDefinable({ name: 'a\nb' })), /XML_DETAIL: invalid char in name/)
})

t.test('uuids in any form', async t => {
  const uuid = async (text: string) => (await define('', { outside: `<uuid>${text}</uuid>` })).uuid
  const plain = '6f1e2d3c-4b5a-4978-8899-aabbccddeeff'
  for (const text of [plain, plain.toUpperCase(), plain.replaceAll('-', ''), ` --${plain.replaceAll('-', ' ')}\n`]) {
    t.equal(await uuid(text), plain, text)
  }
  t.not(await uuid(''), await uuid(''))
  for (const text of ['x', `${plain}0`, plain.slice(1), plain.replace('6f', '6-f'), `${plain}-`]) {
    t.match(await errorOf(() => uuid(text)), /INTERNAL_ERROR: .*malformed uuid element/, text)
  }
})

t.test('generation ids', async t => {
  const device = async (outside: string) => (await argvOf('', { outside })).find(line => line.includes('vmgenid'))
  t.match(
    await device('<genid>6f1e2d3c4b5a49788899aabbccddeeff</genid>'),
    /"guid":"6f1e2d3c-4b5a-4978-8899-aabbccddeeff"/
  )
  t.match(await device('<genid/>'), /"guid":"[0-9a-f-]{36}"/)
  t.equal(await device(''), undefined)
  t.match(await errorOf(() => device('<genid/><genid/>')), /XML_ERROR: .*'genid' can only appear once/)
  t.match(await errorOf(() => device('<genid>x</genid>')), /INTERNAL_ERROR: .*malformed genid element/)
  t.match(await errorOf(() => define('', { outside: '<genid/>', missing: ['vmgenid'] })), /CONFIG_UNSUPPORTED: .*genid/)
})

t.test('titles are one line', async t => {
  t.match(
    await errorOf(() => define('', { outside: '<title>a\nb</title>' })),
    /XML_ERROR: .*title can't contain newlines/
  )
})
