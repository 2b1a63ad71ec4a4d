// The directory of a guest: where everything lies, and that one process has it.
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  chooseRoot,
  guestRoot,
  helperLog,
  lockRoot,
  type RootLock,
  serverSockets,
  userDirectories
} from '../../src/state/root.ts'
import { failureOf } from '../helper/stand-in-guest.ts'

const NOBODY = 65534
const notRoot = process.getuid?.() !== 0 && 'giving a file away takes root'

/** A directory with a name short enough for sockets. */
function scratch(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'root-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** A lock that ends with the test. */
async function locked(t: Test, ...args: Parameters<typeof lockRoot>): Promise<RootLock> {
  const lock = await lockRoot(...args)
  t.teardown(() => lock.close())
  return lock
}

const inUse = (dir: string, program = 'virshimd') =>
  `VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: Requested operation is not valid: root directory '${dir}' is in use by another ${program}`

t.test('one process has it', async t => {
  const dir = join(scratch(t), 'guest')
  const root = guestRoot(dir)
  const lock = await locked(t, root)
  t.ok(existsSync(dir), 'it is made')
  t.equal(await failureOf(() => lockRoot(root)), inUse(dir))
  t.equal(await failureOf(() => lockRoot(root, 'virshim-aggregatord')), inUse(dir, 'virshim-aggregatord'))
  lock.close()
  await locked(t, root)
})

t.test('by whatever name', async t => {
  const dir = scratch(t)
  mkdirSync(join(dir, 'guest'))
  symlinkSync('guest', join(dir, 'link'))
  await locked(t, guestRoot(join(dir, 'guest')))
  t.equal(await failureOf(() => lockRoot(guestRoot(join(dir, 'link')))), inUse(join(dir, 'link')))
  renameSync(join(dir, 'guest'), join(dir, 'moved'))
  t.equal(await failureOf(() => lockRoot(guestRoot(join(dir, 'moved')))), inUse(join(dir, 'moved')))
  await locked(t, guestRoot(join(dir, 'guest')), undefined, 0)
  t.pass('another directory of that name is another')
})

t.test('whoever waits has it when it is free', async t => {
  const root = guestRoot(join(scratch(t), 'guest'))
  const lock = await lockRoot(root)
  const next = lockRoot(root, 'virshimd', 60_000)
  lock.close()
  const taken = await next
  t.equal(await failureOf(() => lockRoot(root)), inUse(root.dir))
  taken.close()
})

t.test('a directory that its owner removes at its end is made again', async t => {
  const root = guestRoot(join(scratch(t), 'guest'))
  const lock = await lockRoot(root)
  const next = lockRoot(root, 'virshimd', 60_000)
  rmSync(root.dir, { recursive: true })
  lock.close()
  const taken = await next
  t.teardown(() => taken.close())
  t.ok(existsSync(root.dir))
  t.equal(await failureOf(() => lockRoot(root)), inUse(root.dir), 'it is this one that is locked')
})

t.test('a process of another network namespace has it', async t => {
  const root = guestRoot(join(scratch(t), 'guest'))
  mkdirSync(root.dir)
  const server = createServer()
  await new Promise<void>(resolve => server.listen(root.apiSocket, resolve))
  t.equal(await failureOf(() => lockRoot(root)), inUse(root.dir))
  t.ok(existsSync(root.apiSocket), 'its socket is not touched')
  await new Promise(resolve => server.close(resolve))
  await locked(t, root)
})

t.test('sockets of one that was killed are removed, and nothing else', async t => {
  const root = guestRoot(join(scratch(t), 'guest'))
  mkdirSync(root.dir)
  const stale = serverSockets(root).flatMap(path => [path, `${path}.new`, `${path}.old`])
  for (const path of [...stale, root.status, root.monitorSocket]) writeFileSync(path, '')
  await locked(t, root)
  t.same(
    stale.filter(path => existsSync(path)),
    []
  )
  t.ok(existsSync(root.status) && existsSync(root.monitorSocket), "QEMU's are left")
})

t.test("a name that somebody has taken beside the file system is in nobody's way", async t => {
  const dir = scratch(t)
  const { dev, ino } = statSync(dir)
  const squatter = createServer()
  t.teardown(() => squatter.close())
  await new Promise<void>(resolve => squatter.listen(`\0virshim/${dev}/${ino}`, resolve))
  await locked(t, guestRoot(dir))
})

t.test('a directory others can write to is ours alone from then on', async t => {
  const dir = scratch(t)
  chmodSync(dir, 0o777)
  await locked(t, guestRoot(dir))
  t.equal(statSync(dir).mode & 0o777, 0o755)
})

t.test('a directory that is, or was, in the hands of others', { skip: notRoot }, async t => {
  const refused = async (dir: string, why: string) =>
    t.match(await failureOf(() => lockRoot(guestRoot(dir))), new RegExp(`^VIR_ERR_OPERATION_DENIED .*'${dir}' ${why}`))
  const theirs = scratch(t)
  chownSync(theirs, NOBODY, NOBODY)
  await refused(theirs, 'belongs to another user')
  const link = join(scratch(t), 'link')
  symlinkSync(scratch(t), link)
  lchownSync(link, NOBODY, NOBODY)
  await refused(link, 'belongs to another user')
  const shared = scratch(t)
  symlinkSync('/etc/passwd', join(shared, '.status.json.new'))
  lchownSync(join(shared, '.status.json.new'), NOBODY, NOBODY)
  chmodSync(shared, 0o1777)
  await refused(shared, "could be written by other users, and '.status.json.new' is not ours")
})

t.test('a directory too deep for sockets', async t => {
  const dir = `/tmp/${'x'.repeat(90)}`
  t.equal(
    await failureOf(() => lockRoot(guestRoot(dir))),
    `VIR_ERR_INVALID_ARG VIR_FROM_QEMU: invalid argument: root directory '${dir}' is too long for socket paths`
  )
  t.notOk(existsSync(dir), 'it is not made')
})

t.test('a directory that cannot be made', async t => {
  const dir = scratch(t)
  writeFileSync(join(dir, 'file'), '')
  t.match(
    await failureOf(() => lockRoot(guestRoot(join(dir, 'file/guest')))),
    /^VIR_ERR_SYSTEM_ERROR VIR_FROM_QEMU: cannot create directory '.*file\/guest': E/
  )
})

t.test('where things lie', async t => {
  const root = chooseRoot('some/dir', 'g')
  t.equal(root.dir, join(process.cwd(), 'some/dir'))
  t.ok(
    Object.values(root).every(path => path === root.dir || path.startsWith(`${root.dir}/`)),
    'all in one'
  )
  t.equal(helperLog(root, 'swtpm'), `${root.dir}/log/qemu-swtpm.log`)
  for (const name of ['.', '..', 'a/b', '/'])
    t.equal(
      await failureOf(() => chooseRoot(undefined, name)),
      `VIR_ERR_INVALID_ARG VIR_FROM_QEMU: invalid argument: a guest called '${name}' needs a root directory of its own: --root DIR`
    )
})

t.test('directories of users', async t => {
  const getuid = process.getuid
  t.teardown(() => Object.assign(process, { getuid }))
  Object.assign(process, { getuid: () => 0 })
  t.match(chooseRoot(undefined, 'g'), {
    dir: '/run/virshim/guests/g',
    definition: '/etc/virshim/guests/g.xml',
    autostart: '/etc/virshim/guests/autostart/g.xml',
    autostartOnce: '/etc/virshim/guests/autostart/g.xml.once',
    managedSave: '/var/lib/virshim/guests/g/managed.save',
    log: '/var/log/virshim/g.log'
  })
  Object.assign(process, { getuid: () => 1000 })
  t.intercept(process, 'env', {
    value: { ...process.env, XDG_RUNTIME_DIR: '/xdg/run', XDG_CONFIG_HOME: '', XDG_STATE_HOME: '/xdg/state' }
  })
  const { run, config, log } = userDirectories()
  t.equal(run, '/xdg/run/virshim')
  t.match(config, /\/\.config\/virshim$/, 'what is empty is not set')
  t.equal(log, '/xdg/state/virshim/log')
})

t.test('no two guests share a file, whatever they are called', async t => {
  const names = ['x', 'x.virshimd', 'x-swtpm', 'x.log', 'daemons', 'virshimd', 'autostart', 'x.new']
  const files = names.flatMap(name => {
    const root = chooseRoot(undefined, name)
    const logs = ['swtpm', 'virtiofsd', 'virshimd'].map(program => helperLog(root, program))
    return [...Object.values(root).filter(file => file !== root.helperLogs), ...logs.slice(0, 2)]
  })
  const unique = new Set(files)
  for (const name of names) {
    const root = chooseRoot(undefined, name)
    t.equal(files.filter(file => file === root.log).length, 1, `log of ${name}`)
    t.equal(files.filter(file => file === root.shimLog).length, 1, `shim's log of ${name}`)
    for (const file of [root.log, root.shimLog, helperLog(root, 'swtpm')]) {
      t.notOk(
        [...unique].some(other => other.startsWith(`${file}/`)),
        `${file} is no directory`
      )
    }
  }
  t.equal(helperLog(chooseRoot('/r', 'x'), 'swtpm'), '/r/log/qemu-swtpm.log')
})
