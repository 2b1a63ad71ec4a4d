// What the starter of a program has open does not reach what the program starts.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { bareGuest, Shim } from '../helper/shim.ts'

const RUNNING = 1

t.test("QEMU has none of the starter's descriptors, and what it makes is for its owner alone", async t => {
  const shim = new Shim(
    bareGuest('t-starter', `<serial type='file'><source path='SERIAL'/></serial>`).replace(
      'SERIAL',
      '/tmp/t-starter.serial'
    )
  )
  t.teardown(() => {
    spawnSync('rm', ['-f', '/tmp/t-starter.serial'])
    return shim.end()
  })
  const secret = shim.xmlFile
  const script = 'umask 022; exec 9</etc/passwd 77<"$0" 300<"$0"; exec "$@"'
  const exited = shim.run('bash', ['-c', script, secret, 'bin/virshimd', '--root', shim.root, shim.xmlFile])
  await shim.untilState(RUNNING)
  const { pid } = JSON.parse(readFileSync(join(shim.root, 'status.json'), 'utf8')).process
  for (const [who, of] of [
    ['QEMU', pid],
    ['the shim', shim.child?.pid]
  ]) {
    const open = readdirSync(`/proc/${of}/fd`).map(fd => linkOf(`/proc/${of}/fd/${fd}`))
    t.ok(open.length > 3, `${who} has files of its own`)
    t.notOk(open.includes(secret), who as string)
    // Node.js keeps those that it sees to itself
    if (who === 'QEMU') t.notOk(open.includes('/etc/passwd'), 'nor the low ones')
  }
  t.equal(statSync('/tmp/t-starter.serial').mode & 0o777, 0o600)
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
  t.notOk(existsSync(join(shim.root, 'qemu.out')))
})

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
