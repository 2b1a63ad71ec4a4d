// Live and persistent definition: which one is changed, what is on disk when, and that a change that cannot be saved
// changes nothing.
import { mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { Definitions } from '../../../../src/drivers/qemu/domain/definitions.ts'
import { define, testContext } from '../../../helper/definition.ts'

const nothing = () => {}

async function definitions(t: Test, { active = false, persistent = true } = {}) {
  const file = join(t.testdir({}), 'domain.xml')
  const made = new Definitions(await define(''), testContext(), () => file)
  if (persistent) made.setPersistent(made.def)
  if (active) made.separate()
  const titles = () => [made.def.title, made.newDef?.title, /<title>(.*)<\/title>/.exec(textOf(file))?.[1]]
  return { made, file, titles }
}

const textOf = (file: string) => readFileSync(file, 'utf8')
const titled = (title: string) => (def: { title?: string }) => ({ ...def, title }) as never

t.test('a change reaches the definitions it is for', async t => {
  const cases: [
    name: string,
    guest: { active?: boolean; persistent?: boolean },
    which: { live: boolean; config: boolean },
    titles: (string | undefined)[]
  ][] = [
    ['shut off', {}, { live: false, config: true }, ['new', 'new', 'new']],
    ['live', { active: true }, { live: true, config: false }, ['new', undefined, undefined]],
    ['config', { active: true }, { live: false, config: true }, [undefined, 'new', 'new']],
    ['both', { active: true }, { live: true, config: true }, ['new', 'new', 'new']]
  ]
  for (const [name, guest, which, titles] of cases) {
    const { made, titles: now } = await definitions(t, guest)
    const { def, newDef } = made
    made.change(which, titled('new'), nothing)
    t.same(now(), titles, name)
    t.equal(made.def === made.newDef, guest.active !== true, `${name}: one object while shut off`)
    t.equal(def.title, undefined, `${name}: on a copy`)
    t.equal(newDef?.title, undefined, `${name}: on a copy`)
  }
})

t.test('the live definition is saved when it is the one in force', async t => {
  const { made } = await definitions(t, { active: true })
  let saved: string | undefined
  made.change({ live: true, config: false }, titled('new'), () => {
    saved = made.def.title
  })
  t.equal(saved, 'new')
})

t.test('a change that fails leaves every definition as it was', async t => {
  const refuse = () => {
    throw new Error('disk full')
  }
  for (const live of [false, true]) {
    const { made, titles } = await definitions(t, { active: true })
    const before = [made.def, made.newDef]
    t.throws(() => made.change({ live, config: true }, titled('new'), refuse), { message: 'disk full' })
    t.equal(made.def, before[0])
    t.same(titles(), [undefined, undefined, undefined], `the file too, live ${live}`)
    t.throws(() => made.change({ live, config: true }, refuse, nothing), { message: 'disk full' })
    t.same([made.def, made.newDef?.title], [before[0], undefined], 'an edit that throws')
  }
})

t.test('a file that cannot be written keeps the former definition', async t => {
  const { made, file } = await definitions(t)
  const blocked = join(dirname(file), 'blocked')
  mkdirSync(blocked)
  const other = new Definitions(made.def, testContext(), () => blocked)
  other.adopt(made.def)
  t.throws(() => other.change({ live: false, config: true }, titled('new'), nothing), { code: 'VIR_ERR_SYSTEM_ERROR' })
  t.throws(() => other.setPersistent({ ...made.def, title: 'new' }), { code: 'VIR_ERR_SYSTEM_ERROR' })
  t.equal(other.newDef, made.def)
  t.notMatch(textOf(file), 'new')
})

t.test('a run has a definition of its own, and the persistent one comes back', async t => {
  const { made, file } = await definitions(t, { active: true })
  t.not(made.def, made.newDef)
  made.def.title = 'run-time'
  made.join()
  t.equal(made.def, made.newDef)
  t.equal(made.def.title, undefined)
  made.setPersistent(undefined)
  t.throws(() => textOf(file), { code: 'ENOENT' })
  t.equal(made.newDef, undefined)
  t.ok(made.hasBeenDefined)
})

t.test('a start from other XML keeps its surroundings apart', async t => {
  const { made } = await definitions(t)
  const [kept, own, other] = [made.newDef, made.context, testContext()]
  made.startFrom(await define(''), other)
  t.same([made.context, made.newContext, made.newDef], [other, own, kept])
  made.separate()
  made.join()
  t.same([made.context, made.newContext, made.def], [own, undefined, kept])
})

t.test('a transient guest stays with what it has', async t => {
  const { made } = await definitions(t, { persistent: false })
  const { def } = made
  made.separate()
  made.join()
  t.equal(made.def, def)
  made.change({ live: true, config: false }, titled('new'), nothing)
  t.equal(made.newDef, undefined)
  t.equal(made.hasBeenDefined, false)
})
