import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import t from 'tap'
import type { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import { lockMemory, unlockMemory } from '../../../../src/drivers/qemu/migration/zero-copy.ts'

/** A guest whose QEMU is a process that waits; limits of memory to lock in KiB. */
function guest(child: ChildProcess, memoryKiB: number) {
  const saved: (string | undefined)[] = []
  const run: { memoryLock?: string } = {}
  const domain = {
    def: { memoryKiB },
    process: { pid: child.pid },
    run,
    running: run,
    save: () => saved.push(run.memoryLock),
    log: { warn() {} }
  } as unknown as QemuDomain
  const limits = () => /^Max locked memory +(\S+) +(\S+)/m.exec(readFileSync(`/proc/${child.pid}/limits`, 'utf8'))!
  return { domain, run, saved, limits: () => limits().slice(1, 3) }
}

t.test('QEMU may lock the memory while it is sent', async t => {
  const child = spawn('prlimit', ['--memlock=65536:', 'sh', '-c', 'echo up; exec sleep 1000'])
  t.teardown(() => child.kill())
  await once(child.stdout, 'data')
  const { domain, run, saved, limits } = guest(child, 2048)
  const [, hard] = limits()
  await lockMemory(domain)
  t.same(limits(), ['2097152', hard], 'no more than it has to')
  t.same(saved, [`65536:${hard}`], 'the next shim knows of it before it is so')
  await lockMemory(domain)
  t.same(saved.length, 1, 'it may already')
  await unlockMemory(domain)
  t.same([limits(), run.memoryLock], [['65536', hard], undefined])
  await unlockMemory(domain)
  const small = guest(child, 64)
  await lockMemory(small.domain)
  t.same(small.saved, [], 'as much as it has is enough')
})
