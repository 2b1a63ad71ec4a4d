// <resource register=…> of real guests, without systemd: none, and groups of their own.
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { hierarchies } from '../../../../../src/drivers/qemu/process/registration/hierarchy.ts'
import { userId } from '../../../../../src/host/ids.ts'
import { cgroupsOf, processesNaming } from '../../../../helper/processes.ts'
import { leftovers, refuses } from '../../../../helper/refusal.ts'
import { bareGuest, Shim } from '../../../../helper/shim.ts'

const RUNNING = 1
const FAILED = 1
t.setTimeout(120_000)

const skip =
  (process.getuid?.() !== 0 && 'takes root') ||
  (existsSync('/run/systemd/system') && 'this host’s groups are systemd’s') ||
  (!hierarchies().some(({ controllers, version }) => version === 1 && controllers.includes('memory')) &&
    'needs hierarchies of v1')

const guest = (name: string, resource: string) => bareGuest(name).replace('<os>', `${resource}<os>`)

const qemuOf = (shim: Shim) => processesNaming(`path=${shim.root}/qmp.sock`)[0]
const procFile = (pid: number | undefined, file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8')
const namespaces = (pid: number | undefined) =>
  spawnSync(
    'readlink',
    ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts'].map(ns => `/proc/${pid}/ns/${ns}`),
    {
      encoding: 'utf8'
    }
  ).stdout

t.test('none: QEMU stays where its shim is', async t => {
  const name = `t-register-none-${process.pid}`
  const shim = new Shim(guest(name, "<resource register='none'/>"))
  t.teardown(() => shim.end())
  const exited = shim.start()
  await shim.untilState(RUNNING)
  const qemu = qemuOf(shim)
  t.ok(qemu)
  t.equal(procFile(qemu, 'cgroup'), procFile(shim.child?.pid, 'cgroup'))
  t.equal(namespaces(qemu), namespaces(shim.child?.pid))
  t.same(cgroupsOf(name), [], 'nothing is made')
  const { allocations } = (await shim.call('/v1/report')).body
  t.notOk(allocations.some(({ kind }: { kind: string }) => kind === 'cgroup'))
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})

for (const register of ['cgroup', 'direct']) {
  t.test(`${register}: a group in every hierarchy`, { skip }, async t => {
    const name = `t-register-${register}-${process.pid}`
    const shim = new Shim(guest(name, `<resource register='${register}'/>`))
    t.teardown(() => shim.end())
    const exited = shim.start()
    await shim.untilState(RUNNING)
    const qemu = qemuOf(shim)
    for (const { mount, controllers } of hierarchies()) {
      const group = join('/machine', `qemu-${qemu}-${name}.virshim`)
      t.match(procFile(qemu, 'cgroup'), new RegExp(`:${controllers}[^:]*:${group}\n`))
      t.ok(
        readFileSync(join(mount, group, 'cgroup.procs'), 'utf8')
          .split('\n')
          .includes(String(qemu))
      )
    }
    t.match((await shim.call('virDomainGetXMLDesc')).body.xml, '<partition>/machine</partition>')
    await shim.call('virDomainDestroy', {})
    t.equal(await exited, 0)
    t.same(leftovers(shim.root, name), [])
  })
}

t.test('a partition that is not there is an error, also of a guest that asks for nothing else', { skip }, t =>
  refuses(t, {
    xml: guest(`t-register-lost-${process.pid}`, '<resource><partition>/t-virshim-nowhere</partition></resource>'),
    status: FAILED,
    message: /Failed to create cgroup '.*t-virshim-nowhere.partition\/qemu-.*': ENOENT/
  })
)

t.test('a partition that is there', { skip }, async t => {
  const name = `t-register-part-${process.pid}`
  const partitions = hierarchies().map(({ mount }) => join(mount, `t-virshim-${process.pid}.partition`))
  for (const path of partitions) mkdirSync(path)
  t.teardown(() => {
    for (const path of partitions) rmdirSync(path)
  })
  const shim = new Shim(guest(name, `<resource><partition>/t-virshim-${process.pid}</partition></resource>`))
  t.teardown(() => shim.end())
  const exited = shim.start()
  await shim.untilState(RUNNING)
  const qemu = qemuOf(shim)
  for (const path of partitions) t.ok(existsSync(join(path, `qemu-${qemu}-${name}.virshim`)), path)
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})

t.test('below the caller’s own group where it may not write the top', { skip }, async t => {
  const name = `t-register-own-${process.pid}`
  const user = userId('nobody')
  const memory = hierarchies().find(({ controllers }) => controllers.includes('memory'))
  t.ok(memory)
  if (!memory) return
  const own = join(memory.mount, `t-virshim-own-${process.pid}`)
  mkdirSync(own)
  for (const file of ['', 'cgroup.procs']) chownSync(join(own, file), user, -1)
  const shim = new Shim(guest(name, "<resource register='cgroup'/>"))
  t.teardown(async () => {
    await shim.end()
    for (const path of [join(own, 'machine'), own]) if (existsSync(path)) rmdirSync(path)
  })
  chmodSync(shim.dir, 0o711)
  chmodSync(shim.xmlFile, 0o644)
  mkdirSync(shim.root)
  chownSync(shim.root, user, -1)
  const program = join(shim.dir, 'start')
  const virshimd = `${process.cwd()}/bin/virshimd --root ${shim.root} ${shim.xmlFile}`
  const drop = 'setpriv --reuid=nobody --regid=nogroup --clear-groups'
  writeFileSync(
    program,
    `echo $$ > ${own}/cgroup.procs; export XDG_CACHE_HOME=${shim.root}/cache; exec ${drop} ${virshimd}\n`
  )
  const exited = shim.run('sh', [program])
  await shim.untilState(RUNNING)
  const qemu = qemuOf(shim)
  t.equal(procFile(qemu, 'status').match(/^Uid:\t(\d+)/m)?.[1], String(user))
  const group = join(own, 'machine', `qemu-${qemu}-${name}.virshim`)
  t.ok(existsSync(group))
  t.match(procFile(qemu, 'cgroup'), group.slice(memory.mount.length))
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
  t.notOk(existsSync(group))
})
