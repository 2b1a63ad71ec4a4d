// Words of a real shim's QEMU: those of this run in errors, no more than there is room for on disk.
import { chmodSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(240_000)

const NAME = `t-words-${process.pid}`
const FAILED = 1
const RUNNING = 1
const MIB = 1024 * 1024

const shim = new Shim(bareGuest(NAME))
t.teardown(() => shim.end())

/** Has the guest run by that script from now on; probes are answered by the real QEMU. */
function emulator(script: string): void {
  const path = join(shim.dir, 'qemu')
  const probed = 'case "$*" in *charmonitor*) ;; *) exec /usr/bin/qemu-system-x86_64 "$@" ;; esac'
  writeFileSync(path, `#!/bin/sh\n${probed}\n${script}\n`)
  chmodSync(path, 0o755)
  writeFileSync(shim.xmlFile, bareGuest(NAME, `<emulator>${path}</emulator>`))
  shim.stderr = ''
}

const start = () => shim.start('--aggregator', 'none')

t.test("an error has the words of its own run, and no notes that are none of QEMU's complaints", async t => {
  emulator('echo "first: no room at the inn" >&2; exit 1')
  t.equal(await start(), FAILED)
  t.match(shim.errors, /no room at the inn/)
  emulator('exit 1')
  t.equal(await start(), FAILED)
  t.notMatch(shim.errors, /no room at the inn/)
  emulator(
    'echo "char device redirected to /dev/pts/7 (label charserial0)" >&2; echo "second: the door is shut" >&2; exit 1'
  )
  t.equal(await start(), FAILED)
  t.match(shim.errors, /the door is shut/)
  t.notMatch(shim.errors, /redirected|no room/)
})

t.test('a flood of them has an end on disk, and the guest runs', async t => {
  emulator('head -c 20000000 /dev/zero | tr "\\0" x >&2; exec /usr/bin/qemu-system-x86_64 "$@"')
  const exited = start()
  await shim.untilState(RUNNING, 60_000)
  const log = join(shim.root, 'log')
  const bytes = readdirSync(log).reduce((sum, name) => sum + statSync(join(log, name)).size, 0)
  t.ok(bytes < 3 * MIB, `${bytes} bytes`)
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})
