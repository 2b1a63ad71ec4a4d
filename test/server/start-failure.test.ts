// Starts that cannot work: what the host lacks, what another QEMU holds, and a QEMU that dies on the way.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { processesNaming } from '../helper/processes.ts'
import { leftovers, refuses } from '../helper/refusal.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

const NAME = 't-no-start'
const FAILED = 1
const USAGE = 2
const noMount = process.getuid?.() !== 0 && 'mounting a tmpfs takes root'

const disk = (source: string, driver = "type='raw'") =>
  `<disk type='file'><driver name='qemu' ${driver}/><source file='${source}'/><target dev='vda' bus='virtio'/></disk>`
const withOs = (inside: string) => bareGuest(NAME).replace('</type>', `</type>${inside}`)

t.test('a missing disk', t =>
  refuses(t, {
    xml: bareGuest(NAME, disk('/nowhere/disk.img')),
    status: FAILED,
    message: /Cannot access storage file '\/nowhere\/disk.img': No such file or directory/
  })
)

t.test('a missing block device', t =>
  refuses(t, {
    xml: bareGuest(NAME, "<disk type='block'><source dev='/dev/nowhere'/><target dev='vda' bus='virtio'/></disk>"),
    status: FAILED,
    message: /'\/dev\/nowhere': No such file or directory/
  })
)

t.test('a missing kernel', t =>
  refuses(t, { xml: withOs('<kernel>/nowhere/vmlinuz</kernel>'), status: FAILED, message: /'\/nowhere\/vmlinuz'/ })
)

t.test('a missing emulator', t =>
  refuses(t, {
    xml: bareGuest(NAME, '<emulator>/nowhere/qemu</emulator>'),
    status: FAILED,
    message: /\/nowhere\/qemu/
  })
)

t.test('an emulator that is no QEMU', t =>
  refuses(t, { xml: bareGuest(NAME, '<emulator>/bin/true</emulator>'), status: FAILED, message: /\/bin\/true/ })
)

t.test('an image of another format than said', t =>
  refuses(t, { xml: bareGuest(NAME, disk('/etc/passwd', "type='qcow2'")), status: FAILED, message: /qcow2/ })
)

t.test('a machine QEMU does not know', t =>
  refuses(t, { xml: bareGuest(NAME).replace("'pc'", "'pc-i440fx-0.0'"), status: USAGE, message: /pc-i440fx-0.0/ })
)

t.test('a disk that another QEMU has', async t => {
  const held = new Shim(bareGuest('t-holder'))
  t.teardown(() => held.end())
  const image = join(held.dir, 'disk.qcow2')
  t.equal(spawnSync('qemu-img', ['create', '-q', '-f', 'qcow2', image, '8M']).status, 0)
  writeFileSync(held.xmlFile, bareGuest('t-holder', disk(image, "type='qcow2'")))
  void held.start()
  await held.untilState(1)
  await refuses(t, {
    xml: bareGuest(NAME, disk(image, "type='qcow2'")),
    status: FAILED,
    message: /Failed to get "(write|consistent read)" lock/
  })
  t.equal((await held.call('virDomainGetState')).body.state, 1, 'the holder is not disturbed')
})

t.test('a full disk under the root', { skip: noMount }, async t => {
  const shim = new Shim(bareGuest(NAME))
  t.teardown(() => shim.end())
  mkdirSync(shim.root)
  t.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', shim.root]).status, 0)
  t.teardown(() => spawnSync('umount', [shim.root]))
  spawnSync('dd', ['if=/dev/zero', `of=${shim.root}/ballast`], { stdio: 'ignore' })
  t.equal(await shim.start(), FAILED)
  t.match(shim.errors, /ENOSPC|No space left/)
  t.notMatch(shim.errors, /^ {4}at /m, 'no stack trace')
  t.same(leftovers(shim.root, NAME), ['ballast'], 'nothing is left')
})

t.test('a guest whose disk fills up while it runs is served and ended in order', { skip: noMount }, async t => {
  const shim = new Shim(bareGuest(NAME))
  t.teardown(() => shim.end())
  mkdirSync(shim.root)
  t.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', shim.root]).status, 0)
  t.teardown(() => spawnSync('umount', [shim.root]))
  const exited = shim.start()
  await shim.untilState(1)
  spawnSync('dd', ['if=/dev/zero', `of=${shim.root}/ballast`], { stdio: 'ignore' })
  const answer = await shim.call('virDomainSuspend', {})
  t.ok(answer.status === 200 || /ENOSPC|No space left/.test(answer.body.message), 'done, or the reason is told')
  t.equal((await shim.call('virDomainGetInfo')).status, 200)
  spawnSync('rm', [`${shim.root}/ballast`])
  t.equal((await shim.call('virDomainDestroy', {})).status, 200)
  t.equal(await exited, 0)
  t.same(leftovers(shim.root, NAME), [])
})

/** The real QEMU behind a script that can end it at a moment of its start. */
function dyingEmulator(shim: Shim, body: string): string {
  const emulator = join(shim.dir, 'qemu')
  writeFileSync(
    emulator,
    `#!/bin/sh\ncase "$*" in *charmonitor*) ;; *) exec /usr/bin/qemu-system-x86_64 "$@" ;; esac\n${body}\n`
  )
  chmodSync(emulator, 0o755)
  return emulator
}

const deaths: [when: string, body: string, message: RegExp][] = [
  ['at once', 'exit 3', /ended.* with status 3|process exited/],
  ['at once with words', 'echo no room at the inn >&2; exit 1', /no room at the inn/],
  ['by a signal', 'kill -SEGV $$', /ended.* with SIGSEGV|process exited/],
  ['before its monitor is there', 'sleep 0.2; exit 1', /process exited|ended with/],
  [
    'after a monitor that speaks nonsense',
    `exec python3 -c '
import socket, sys, re
path = re.search(r"path=([^,]+)", " ".join(sys.argv)).group(1)
s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen(); c, _ = s.accept(); c.sendall(b"hello\\n"); c.close()' "$@"`,
    /monitor|QMP|process exited/
  ]
]

for (const [when, body, message] of deaths) {
  t.test(`QEMU dies ${when}`, async t => {
    const shim = new Shim(bareGuest(NAME))
    t.teardown(() => shim.end())
    writeFileSync(shim.xmlFile, bareGuest(NAME, `<emulator>${dyingEmulator(shim, body)}</emulator>`))
    t.equal(await shim.start(), FAILED)
    t.match(shim.errors, message)
    t.notMatch(shim.errors, /^ {4}at /m, 'no stack trace')
    t.same(leftovers(shim.root, NAME), [], 'nothing is left')
  })
}

/** Kills the guest's QEMU as soon as `ready` says so. */
async function killQemuWhen(shim: Shim, child: ChildProcess, ready: () => boolean | Promise<boolean>): Promise<void> {
  while (child.exitCode === null) {
    const [pid] = processesNaming(`path=${join(shim.root, 'qmp.sock')},`)
    if (pid !== undefined && (await ready())) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {}
      return
    }
    await sleep(1)
  }
}

const stages: [stage: string, ready: (shim: Shim) => boolean | Promise<boolean>][] = [
  ['when it has been spawned', () => true],
  ['when its monitor socket is there', shim => existsSync(join(shim.root, 'qmp.sock'))],
  ['when the API answers', async shim => (await shim.call('virDomainGetInfo').catch(() => undefined)) !== undefined],
  ['when it runs', async shim => (await shim.call('virDomainGetState').catch(() => undefined))?.body.state === 1]
]

for (const [stage, ready] of stages) {
  t.test(`QEMU is killed ${stage}`, async t => {
    const shim = new Shim(bareGuest(NAME))
    t.teardown(() => shim.end())
    const exited = shim.start()
    await killQemuWhen(shim, shim.child!, () => ready(shim))
    t.equal(await exited, FAILED)
    t.same(leftovers(shim.root, NAME), [], 'nothing is left')
  })
}

t.test('the same root starts a guest after a failed start', async t => {
  const shim = new Shim(bareGuest(NAME, disk('/nowhere/disk.img')))
  t.teardown(() => shim.end())
  t.equal(await shim.start(), FAILED)
  writeFileSync(shim.xmlFile, bareGuest(NAME))
  const again = spawn('bin/virshimd', ['--root', shim.root, shim.xmlFile], { stdio: 'ignore' })
  shim.child = again
  const exited = new Promise(resolve => again.once('exit', resolve))
  await shim.untilState(1)
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})

t.test('SIGTERM at any moment of a start ends it and leaves nothing', async t => {
  for (let delayMs = 0; delayMs < 160; delayMs += 8) {
    const shim = new Shim(bareGuest(NAME))
    const exited = shim.start('--shutdown-timeout', '0')
    await sleep(delayMs)
    shim.child?.kill('SIGTERM')
    const status = await exited
    t.same(
      [status === 0 || status === FAILED || status === 'SIGTERM', leftovers(shim.root, NAME)],
      [true, []],
      `after ${delayMs} ms`
    )
    await shim.end()
  }
})

t.test('--detach lets go of the standard error it was given', async t => {
  const shim = new Shim(bareGuest(NAME))
  t.teardown(() => shim.end())
  const run = spawnSync('bin/virshimd', ['--detach', '--root', shim.root, shim.xmlFile], { timeout: 15_000 })
  t.equal(run.status, 0, 'it returns, and so does who waits for the end of its output')
  t.equal((await shim.call('virDomainGetState')).body.state, 1)
  await shim.call('virDomainDestroy', {})
  t.ok(existsSync(join(shim.root, 'log/virshimd.log')))
})
