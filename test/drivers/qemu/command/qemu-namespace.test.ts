import t from 'tap'
import { buildCommand } from '../../../../src/drivers/qemu/command/index.ts'
import { prepareNative } from '../../../../src/drivers/qemu/definition/passes.ts'
import { argvOf, define, errorOf, testContext } from '../../../helper/definition.ts'

const attributes = " xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'"
const VIDEO = "<video><model type='vga'/><alias name='ua-v'/></video>"
const override = (property: string, alias = 'ua-v') =>
  `<q:override><q:device alias='${alias}'><q:frontend>${property}</q:frontend></q:device></q:override>`
const argv = (outside: string) => argvOf(VIDEO, { outside, attributes })

t.test('arguments and environment', async t => {
  const outside =
    "<q:commandline><q:arg value='-x'/><q:arg value='a,b'/><q:env name='A_1' value='v'/><q:env name='_B'/></q:commandline>"
  t.ok((await argv(outside)).includes('-x a,b'))
  const def = await define('', { outside, attributes })
  t.match(buildCommand(def, prepareNative(def, testContext())).env, { A_1: 'v', _B: '' })
  t.notOk((await argvOf('', { outside, attributes: " xmlns:q='urn:other'" })).includes('-x a,b'))
})

t.test('properties of devices', async t => {
  const device = async (outside: string) => (await argv(outside)).find(line => line.includes('"ua-v"'))
  t.match(
    await device(override("<q:property name='vgamem_mb' type='unsigned' value='18446744073709551615'/>")),
    /"vgamem_mb":18446744073709551615/
  )
  t.match(await device(override("<q:property name='x' type='signed' value='-5'/>")), /"x":-5/)
  t.match(await device(override("<q:property name='x' type='bool' value='false'/>")), /"x":false/)
  t.match(await device(override("<q:property name='x' type='string' value='5'/>")), /"x":"5"/)
  t.notMatch(await device(override("<q:property name='vgamem_mb' type='remove'/>")), /vgamem_mb/)
  t.notMatch(await device(override("<q:property name='x' type='string' value='5'/>", 'ua-other')), /"x"/)
})

t.test('deprecated features', async t => {
  const compat = async (behavior: string) =>
    (await argv(`<q:deprecation behavior='${behavior}'/>`)).find(line => line.startsWith('-compat'))
  t.match(await compat('omit'), '-compat {"deprecated-output":"hide"}')
  t.match(await compat('crash'), '-compat {"deprecated-output":"hide","deprecated-input":"crash"}')
  t.equal(await compat('none'), undefined)
  t.equal(await compat('unheard of'), undefined)
})

t.test('capabilities', async t => {
  const cards = async (outside: string) =>
    (await argvOf('', { outside, attributes })).filter(line => /memballoon/.test(line))
  t.equal((await cards("<q:capabilities><q:add capability='drive'/></q:capabilities>")).length, 0)
  t.match(
    await errorOf(() => cards("<q:capabilities><q:del capability='no-such'/></q:capabilities>")),
    /INTERNAL_ERROR: .*invalid qemu namespace capability 'no-such'/
  )
  t.match(
    await errorOf(() => cards('<q:capabilities><q:del/></q:capabilities>')),
    /INTERNAL_ERROR: .*missing capability name/
  )
})

t.test('what is refused', async t => {
  const property = (text: string) => override(`<q:property ${text}/>`)
  const cases: [outside: string, error: RegExp][] = [
    ['<q:commandline><q:arg/></q:commandline>', /INTERNAL_ERROR: .*No qemu command-line argument specified/],
    ["<q:commandline><q:env value='x'/></q:commandline>", /No qemu environment name specified/],
    ["<q:commandline><q:env name='1'/></q:commandline>", /must begin with a letter or underscore/],
    ["<q:commandline><q:env name='a-b'/></q:commandline>", /only alphanumerics and underscore/],
    ['<q:override><q:device/></q:override>', /XML_ERROR: .*missing 'alias' attribute for qemu:device/],
    [property("type='string' value='x'"), /XML_ERROR: .*missing 'name' attribute for qemu:property/],
    [property("name='id' type='string' value='x'"), /property with name 'id' can't be overridden/],
    [property("name='a' value='x'"), /'type' in element 'property'/],
    [property("name='a' type='string'"), /missing 'value' attribute for 'qemu:property'/],
    [property("name='a' type='remove' value='x'"), /doesn't make sense with 'remove' type/],
    [property("name='a' type='signed' value='0x10'"), /invalid value '0x10' of 'value' attribute/],
    [property("name='a' type='bool' value='on'"), /invalid value 'on' of 'value' attribute/]
  ]
  for (const [outside, error] of cases) t.match(await errorOf(() => argv(outside)), error, outside)
})
