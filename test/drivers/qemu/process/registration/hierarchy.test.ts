// What a process finds in /proc on hosts of several kinds; the v2 ones are read from what such hosts have there, as this
// test's own host may have no controllers on v2.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { enterGroups, groupPaths, leaveGroups } from '../../../../../src/drivers/qemu/process/registration/cgroup.ts'
import { hierarchies } from '../../../../../src/drivers/qemu/process/registration/hierarchy.ts'

const mount = (root: string, at: string, type: string, options: string) =>
  `30 25 0:26 ${root} ${at} rw,nosuid - ${type} ${type} rw,${options}\n`

t.test('v1, controllers together and apart, others left out', async t => {
  const mounts = [
    mount('/', '/sys/fs/cgroup/cpu,cpuacct', 'cgroup', 'cpu,cpuacct'),
    mount('/', '/sys/fs/cgroup/memory', 'cgroup', 'memory'),
    mount('/', '/sys/fs/cgroup/systemd', 'cgroup', 'xattr,name=systemd'),
    mount('/', '/sys/fs/cgroup/unified', 'cgroup2', 'nsdelegate'),
    mount('/', '/somewhere\\040else', 'cgroup', 'cpu,cpuacct'),
    '31 25 0:27 / /proc rw - proc proc rw\n'
  ].join('')
  const found = hierarchies(mounts, '3:cpu,cpuacct:/user\n2:memory:/a/b\n1:name=systemd:/c\n0::/d\n')
  t.match(found, [
    { version: 1, own: '/sys/fs/cgroup/cpu,cpuacct/user', controllers: ['cpu', 'cpuacct'] },
    { version: 1, own: '/sys/fs/cgroup/memory/a/b', controllers: ['memory'] },
    { own: '/somewhere else/user' }
  ])
  t.equal(found.length, 3)
})

t.test('v1 in a container without a namespace of its own sees a part of the hierarchy', async t => {
  const mounts = mount('/docker/ab', '/sys/fs/cgroup/memory', 'cgroup', 'memory')
  t.match(hierarchies(mounts, '2:memory:/docker/ab\n'), [{ own: '/sys/fs/cgroup/memory' }])
  t.match(hierarchies(mounts, '2:memory:/docker/ab/c\n'), [{ own: '/sys/fs/cgroup/memory/c' }])
  t.same(hierarchies(mounts, '2:memory:/docker/abc\n'), [], 'it is not in what it sees')
  t.same(hierarchies(mount('/../..', '/sys/fs/cgroup/memory', 'cgroup', 'memory'), '2:memory:/\n'), [])
})

/** A directory that looks like the v2 hierarchy. */
function tree(dir: string, own: string): string {
  for (const path of ['', own]) {
    mkdirSync(join(dir, path), { recursive: true })
    writeFileSync(join(dir, path, 'cgroup.procs'), '')
    writeFileSync(join(dir, path, 'cgroup.controllers'), 'cpuset cpu io memory pids rdma\n')
    writeFileSync(join(dir, path, 'cgroup.subtree_control'), '')
  }
  return mount('/', dir, 'cgroup2', 'nsdelegate')
}

t.test('v2 hands its controllers down to the partition', async t => {
  const dir = t.testdir()
  const [hierarchy] = hierarchies(tree(dir, 'own'), '0::/own\n')
  t.match(hierarchy, {
    version: 2,
    own: join(dir, 'own'),
    controllers: ['cpuset', 'cpu', 'io', 'memory', 'pids', 'rdma']
  })
  const [path, ...more] = groupPaths('guest', '/machine', [hierarchy!])
  t.equal(path, join(dir, 'machine/guest'))
  t.same(more, [])
  t.same(await enterGroups([path!], [4242], { partition: '/machine', wanted: true }), [path])
  t.equal(readFileSync(join(path!, 'cgroup.procs'), 'utf8'), '4242')
  t.match(readFileSync(join(dir, 'cgroup.subtree_control'), 'utf8'), /^\+/)
})

const v2Lines = readFileSync('/proc/self/mountinfo', 'utf8')
  .split('\n')
  .filter(line => line.includes(' - cgroup2 '))
const kernelPaths = groupPaths(`t-hierarchy-${process.pid}`, '/machine', hierarchies(v2Lines.join('\n')))
const noV2 = kernelPaths.length === 0 && 'no v2 hierarchy is mounted that can be written'

t.test('the kernel’s own v2', { skip: noV2 }, async t => {
  const paths = kernelPaths
  const { spawn } = await import('node:child_process')
  const child = spawn('sleep', ['60'])
  t.teardown(() => child.kill())
  t.same(await enterGroups(paths, [child.pid!], { partition: '/machine', wanted: true }), paths)
  t.equal(readFileSync(join(paths[0]!, 'cgroup.procs'), 'utf8'), `${child.pid}\n`)
  child.kill()
  t.same(await leaveGroups(paths), [])
  t.same(await leaveGroups(paths), [], 'once more is no harm')
})

const noController =
  (noV2 && 'no v2') ||
  (!readFileSync(join(v2Mount(), 'cgroup.controllers'), 'utf8').trim() && 'no controller is left to v2')

function v2Mount(): string {
  return v2Lines[0]?.split(' ')[4] ?? '/nowhere'
}

t.test(
  'v2: a group with processes of ours makes room where controllers are needed',
  { skip: noController },
  async t => {
    const top = v2Mount()
    const [controller] = readFileSync(join(top, 'cgroup.controllers'), 'utf8').trim().split(' ') as [string]
    const had = readFileSync(join(top, 'cgroup.subtree_control'), 'utf8').includes(controller)
    if (!had) writeFileSync(join(top, 'cgroup.subtree_control'), `+${controller}`)
    const own = join(top, `t-own-${process.pid}`)
    mkdirSync(own)
    const { spawn } = await import('node:child_process')
    const children = [0, 1].map(() => spawn('sleep', ['600'], { stdio: 'ignore' }))
    t.teardown(async () => {
      for (const child of children) child.kill('SIGKILL')
      await leaveGroups([own])
      if (had) return
      try {
        writeFileSync(join(top, 'cgroup.subtree_control'), `-${controller}`)
      } catch {
        // somebody else's group has come to use it
      }
    })
    for (const { pid } of children) writeFileSync(join(own, 'cgroup.procs'), String(pid))
    const hierarchy = { version: 2, mount: '/nowhere', root: '/', own, controllers: [controller] } as const
    const guestOf = (name: string) => groupPaths(name, '/machine', [{ ...hierarchy, controllers: [controller] }])
    const has = ([path]: string[]) => readFileSync(join(path!, 'cgroup.controllers'), 'utf8').trim()
    const [qemu, other] = children.map(({ pid }) => pid!) as [number, number]
    const without = await enterGroups(guestOf('without'), [qemu], { partition: '/machine', wanted: false })
    t.equal(has(without), '')
    writeFileSync(join(own, 'cgroup.procs'), String(qemu))
    const how = { partition: '/machine', wanted: false, controllers: true }
    const path = await enterGroups(guestOf('with'), [qemu], how)
    t.equal(has(path), controller)
    t.equal(readFileSync(join(path[0]!, 'cgroup.procs'), 'utf8'), `${qemu}\n`)
    t.equal(readFileSync(join(own, 'processes.virshim/cgroup.procs'), 'utf8'), `${other}\n`)
    t.equal(readFileSync(join(own, 'cgroup.procs'), 'utf8'), '')
  }
)

t.test('v2: others’ processes are left where they are', { skip: noController }, async t => {
  const top = v2Mount()
  const own = join(top, `t-others-${process.pid}`)
  mkdirSync(own)
  const { spawnSync } = await import('node:child_process')
  // its parent is gone: it is not a child of ours any more
  const pid = Number(spawnSync('sh', ['-c', 'sleep 600 >/dev/null 2>&1 & echo $!'], { encoding: 'utf8' }).stdout)
  t.teardown(async () => {
    process.kill(pid, 'SIGKILL')
    await leaveGroups([own])
  })
  writeFileSync(join(own, 'cgroup.procs'), String(pid))
  const paths = groupPaths('guest', '/machine', [{ version: 2, mount: '/nowhere', root: '/', own, controllers: [] }])
  await enterGroups(paths, [], { partition: '/machine', wanted: false, controllers: true })
  t.equal(readFileSync(join(own, 'cgroup.procs'), 'utf8'), `${pid}\n`)
})

t.test('a partition of the user’s must be there', async t => {
  const dir = t.testdir()
  const [hierarchy] = hierarchies(tree(dir, 'own'), '0::/own\n')
  const paths = groupPaths('guest', '/prod', [hierarchy!])
  const error = await enterGroups(paths, [1], { partition: '/prod', wanted: true }).catch(thrown => thrown)
  t.match(error, { code: 'VIR_ERR_SYSTEM_ERROR', message: /Failed to create cgroup '.*prod.partition\/guest': ENOENT/ })
  mkdirSync(join(dir, 'prod.partition'))
  t.same(await enterGroups(paths, [1], { partition: '/prod', wanted: true }), paths)
})
