// A view of the host's files that is one program's own, and what is admitted to it and dismissed while it is in use.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { hostCommand } from '../../src/host/command.ts'
import { followPath } from '../../src/host/followed-path.ts'
import {
  admitPaths,
  checkMountViews,
  dismissPaths,
  type MountView,
  planView,
  removeView,
  stageView,
  viewArgv
} from '../../src/host/mount-view.ts'

t.setTimeout(120_000)

const NOBODY = { uid: 65534, gid: 65534 }
const skip = process.getuid?.() !== 0 && 'takes root'

/** A directory with files below one that only root may pass. */
function world(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-view-'))
  chmodSync(dir, 0o711)
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  for (const name of ['shut', 'others', 'theirs']) mkdirSync(join(dir, name), { mode: 0o755 })
  chmodSync(join(dir, 'shut'), 0o700)
  mkdirSync(join(dir, 'shut/with space'))
  for (const name of ['shut/a', 'shut/b', 'shut/with space/c', 'others/x', 'others/y', 'open']) fill(dir, name)
  return dir
}

function fill(dir: string, name: string): string {
  writeFileSync(join(dir, name), name, { mode: 0o644 })
  return join(dir, name)
}

const mounts = () => readFileSync('/proc/self/mountinfo', 'utf8')

interface Seen {
  view: MountView
  pid: number
  /** what `nobody` reads at a path, or the error */
  read(path: string): string
}

/** A program with a view, in which anybody can look. */
async function program(t: Test, dir: string, paths: string[], hidden: string[]): Promise<Seen> {
  const staging = join(dir, 'staging')
  const all = [...paths, '/dev/null', '/dev/pts']
  const view = planView({ staging, hidden, passer: NOBODY, paths: all })
  stageView(view, all)
  const [command, ...args] = [...viewArgv(view), 'sh', '-c', 'echo ready; exec sleep 1000']
  const child: ChildProcess = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  await new Promise((resolve, reject) => {
    child.stdout!.once('data', resolve)
    child.once('exit', code => reject(new Error(`it ended with ${code}`)))
  })
  const enter = [
    `--target=${child.pid}`,
    '--mount',
    '--',
    'setpriv',
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups'
  ]
  return {
    view,
    pid: child.pid!,
    read(path) {
      const { stdout, stderr } = spawnSync('nsenter', [...enter, '--', 'cat', path], { encoding: 'utf8' })
      return stdout || (/: ([^:]*)\n$/.exec(stderr)?.[1] ?? 'nothing')
    }
  }
}

/** Has a path be another for the program than for us, as a link that it lays would. */
const enterAndMount = (pid: number, path: string) =>
  hostCommand('nsenter', [`--target=${pid}`, '--mount', '--', 'mount', '-t', 'tmpfs', '-o', 'uid=65534', 'none', path])

const viewer = ({ pid }: Seen) => ({ pid, passer: NOBODY })
const GONE = 'No such file or directory'

t.test('links on the way of a path', async t => {
  const dir = world(t)
  symlinkSync('shut', join(dir, 'way'))
  symlinkSync(`${dir}/way/../shut/a`, join(dir, 'link'))
  symlinkSync('loop', join(dir, 'loop'))
  t.same(followPath(join(dir, 'link')), {
    real: join(dir, 'shut/a'),
    links: [
      { at: join(dir, 'link'), to: `${dir}/way/../shut/a` },
      { at: join(dir, 'way'), to: 'shut' }
    ]
  })
  t.equal(followPath(join(dir, 'loop')), undefined)
  t.equal(followPath(join(dir, 'none')), undefined)
  t.equal(followPath(join(dir, 'none'), { lastMayLack: true })?.real, join(dir, 'none'))
})

t.test('what is covered', { skip }, async t => {
  const dir = world(t)
  const plan = (paths: string[], hidden: string[] = []) =>
    planView({ staging: '/x', hidden, passer: NOBODY, paths }).covers
  t.same(plan([join(dir, 'open'), '/dev/null']), ['/dev'], 'nothing above it is shut')
  t.same(plan([join(dir, 'shut/with space/c')]), ['/dev', join(dir, 'shut')], 'the topmost that is shut')
  t.same(plan([], [join(dir, 'others'), join(dir, 'none')]), ['/dev', join(dir, 'others')])
  t.same(plan([], [join(dir, 'shut/with space')]), ['/dev', join(dir, 'shut')], 'none lies in another')
  t.same(
    planView({ staging: '/x', hidden: [], passer: { uid: 0, gid: 0 }, paths: [join(dir, 'shut/a')] }).covers,
    ['/dev'],
    'its owner may pass it'
  )
})

t.test('a view', { skip }, async t => {
  checkMountViews()
  const before = mounts()
  const dir = world(t)
  const at = (name: string) => join(dir, name)
  symlinkSync('shut/b', at('link'))
  const seen = await program(
    t,
    dir,
    [at('shut/a'), at('shut/with space/c'), at('link'), at('others/x')],
    [at('others')]
  )
  const { view, pid, read } = seen
  t.same(view.covers, ['/dev', at('others'), at('shut')].sort(), 'covers')
  t.equal(read(at('shut/a')), 'shut/a')
  t.equal(read(at('link')), 'shut/b')
  t.equal(read(at('shut/with space/c')), 'shut/with space/c')
  t.equal(read(at('others/x')), 'others/x')
  t.equal(read(at('others/y')), GONE)
  t.equal(read(at('open')), 'open', 'the rest is the host’s')
  t.equal(read('/dev/vda'), GONE)
  t.equal(read(`/dev/.virshim/host${at('open')}`), 'Permission denied')
  const devices = readdirSync(`/proc/${pid}/root/dev`).sort()
  t.same(devices, ['.virshim', 'fd', 'null', 'ptmx', 'pts', 'shm', 'stderr', 'stdin', 'stdout'])
  t.match(readFileSync(`/proc/${pid}/limits`, 'utf8'), /^Max core file size +0 /m)
  t.equal(mounts(), before, 'nothing of it is in the host’s table')

  await t.test('more is admitted', async t => {
    fill(dir, 'shut/new')
    await admitPaths(view, viewer(seen), [at('shut/new'), at('open'), at('shut/none')], () => t.fail('no new cover'))
    t.equal(read(at('shut/new')), 'shut/new')
    fill(dir, 'another')
    renameSync(at('another'), at('shut/new'))
    t.equal(read(at('shut/new')), 'shut/new', 'the file it was')
    await admitPaths(view, viewer(seen), [at('shut/new')], () => t.fail('no new cover'))
    t.equal(read(at('shut/new')), 'another', 'the one it is')
    await dismissPaths(view, pid, [at('shut/new'), at('open')])
    t.not(read(at('shut/new')), 'another')
    t.equal(read(at('open')), 'open')
    await admitPaths(view, viewer(seen), [at('shut/new')], () => t.fail('no new cover'))
    t.equal(read(at('shut/new')), 'another', 'it may come back')
  })

  await t.test('below a directory that is shut and was not covered', async t => {
    mkdirSync(at('later'), { mode: 0o700 })
    fill(dir, 'later/z')
    t.equal(read(at('later/z')), 'Permission denied')
    let kept: MountView | undefined
    await admitPaths(view, viewer(seen), [at('later/z')], changed => {
      kept = structuredClone(changed)
      t.equal(read(at('later/z')), 'Permission denied', 'it is kept first')
    })
    t.equal(kept?.covers.at(-1), at('later'))
    t.equal(read(at('later/z')), 'later/z')
  })

  await t.test('what lies in a directory of its own is bound nowhere: it could lay links there', async t => {
    mkdirSync(at('others/own'))
    chownSync(at('others/own'), NOBODY.uid, NOBODY.gid)
    await admitPaths(view, viewer(seen), [at('others/own')], () => undefined)
    const place = at('others/own/next')
    mkdirSync(place)
    fill(dir, 'others/own/next/passwd')
    const inside = `/proc/${pid}/root${place}`
    t.equal(read(join(place, 'passwd')), 'others/own/next/passwd', 'it is seen with the directory')
    await enterAndMount(pid, place)
    t.equal(existsSync(join(inside, 'passwd')), false, 'it has become something else')
    await admitPaths(view, viewer(seen), [join(place, 'passwd')], () => undefined)
    t.equal(read(join(place, 'passwd')), GONE)
  })
  t.equal(mounts(), before, 'as before')
  removeView(view.staging)
  t.notOk(existsSync(view.staging))
  t.equal(mounts(), before)
})
