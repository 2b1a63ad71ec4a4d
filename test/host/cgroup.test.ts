// Files of control groups: v2's and what fails in directories that look like groups, v1's in the kernel's own.
import { mkdirSync, readFileSync, rmdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { hierarchies, parentIn } from '../../src/drivers/qemu/process/registration/hierarchy.ts'
import {
  bandwidth,
  blkioWeight,
  type Controller,
  cpuShares,
  cpuset,
  cpuTimesByCpu,
  type Group,
  groupWith,
  memoryLimit,
  setDeviceLimit,
  UNLIMITED_KIB
} from '../../src/host/cgroup.ts'
import { failureOf } from '../helper/stand-in-guest.ts'

/** A directory with the files of a group. */
function group(t: Pick<Test, 'testdir'>, controllers: string, files: Record<string, string>): Group {
  const path = t.testdir({ 'cgroup.controllers': `${controllers}\n`, ...files })
  return { path, version: 2 }
}

const has = ({ path }: Group, file: string) => readFileSync(join(path, file), 'utf8')

t.test('a controller is in the group whose files say so', async t => {
  const v1 = t.testdir({ cpu: { 'cpu.shares': '' }, mem: { 'memory.limit_in_bytes': '' }, other: {} })
  const all = ['other', 'cpu', 'mem'].map(name => join(v1, name))
  t.same(groupWith(all, 'cpu'), { path: join(v1, 'cpu'), version: 1 })
  t.same(groupWith(all, 'memory'), { path: join(v1, 'mem'), version: 1 })
  t.equal(groupWith(all, 'blkio'), undefined)
  t.equal(groupWith([], 'cpu'), undefined)
})

t.test('in v2 the kernel says which there are; CPU time is counted in any', async t => {
  const { path } = group(t, 'cpu io', {})
  const found = (['cpu', 'cpuacct', 'cpuset', 'memory', 'blkio'] as Controller[]).filter(one => groupWith([path], one))
  t.same(found, ['cpu', 'cpuacct', 'blkio'])
})

t.test('weights and CPU time of v2', async t => {
  const one = group(t, 'cpu', { 'cpu.weight': '100\n', 'cpu.max': 'max 100000\n' })
  t.equal(await cpuShares.get(one), 100n)
  await cpuShares.set(one, 10_000n)
  t.equal(has(one, 'cpu.weight'), '10000')
  t.equal(
    await failureOf(() => cpuShares.set(one, 10_001n)),
    "VIR_ERR_INVALID_ARG VIR_FROM_CGROUP: invalid argument: shares '10001' must be in range [1, 10000]"
  )
  t.ok(bandwidth.isThere(one))
  t.same(await bandwidth.get(one), { period: 100_000n, quota: 17_592_186_044_415n })
  await bandwidth.set(one, { period: 0n, quota: 5000n })
  t.equal(has(one, 'cpu.max'), '5000 100000')
  await bandwidth.set(one, { period: 20_000n, quota: 0n })
  t.equal(has(one, 'cpu.max'), '5000 20000')
  await bandwidth.set(one, { period: 0n, quota: -1n })
  t.equal(has(one, 'cpu.max'), 'max 20000')
  await bandwidth.set(one, { period: 0n, quota: 0n })
  t.match(await failureOf(() => bandwidth.set(one, { period: 5n, quota: 0n })), /cfs_period '5' must be in range/)
  t.match(await failureOf(() => bandwidth.set(one, { period: 0n, quota: 5n })), /cfs_quota '5' must be in range/)
})

t.test('limits of memory in v2', async t => {
  const one = group(t, 'memory', { 'memory.max': 'max\n', 'memory.high': '1048576\n' })
  t.equal(await memoryLimit.get(one, 'hard'), UNLIMITED_KIB)
  t.equal(await memoryLimit.get(one, 'soft'), 1024n)
  await memoryLimit.set(one, 'hard', 2048n)
  t.equal(has(one, 'memory.max'), '2097152')
  await memoryLimit.set(one, 'hard', UNLIMITED_KIB)
  t.equal(has(one, 'memory.max'), 'max')
  t.notOk(memoryLimit.isThere(one, 'swapHard'))
  t.match(await failureOf(() => memoryLimit.set(one, 'hard', UNLIMITED_KIB + 1n)), /must be less than/)
  t.match(
    await failureOf(() => memoryLimit.set(one, 'swapHard', 1n)),
    /^VIR_ERR_SYSTEM_ERROR VIR_FROM_CGROUP: Unable to write to '.*memory.swap.max': No such file or directory$/
  )
})

t.test('weights and limits of block I/O in v2', async t => {
  const one = group(t, 'io', { 'io.weight': 'default 100\n8:0 50\n', 'io.max': '' })
  t.equal(await blkioWeight.get(one), 100)
  await blkioWeight.set(one, 300)
  t.equal(has(one, 'io.weight'), 'default 300')
  await setDeviceLimit(one, '8:0', 'weight', 40)
  t.equal(has(one, 'io.weight'), '8:0 40')
  await setDeviceLimit(one, '8:0', 'readIopsSec', 7)
  t.equal(has(one, 'io.max'), '8:0 riops=7')
  await setDeviceLimit(one, '8:0', 'writeBytesSec', 0n)
  t.equal(has(one, 'io.max'), '8:0 wbps=max')
})

t.test('the I/O scheduler’s own weight comes first, and none is told', async t => {
  const one = group(t, 'io', { 'io.bfq.weight': '100\n' })
  await blkioWeight.set(one, 300)
  t.equal(has(one, 'io.bfq.weight'), '300')
  const none = { ...one, path: join(one.path, 'nowhere') }
  t.match(
    await failureOf(() => blkioWeight.get(none)),
    /^VIR_ERR_OPERATION_INVALID VIR_FROM_CGROUP: .*: blkio weight is/
  )
  t.match(await failureOf(() => setDeviceLimit(none, '8:0', 'weight', 1)), /valid only for cfq scheduler/)
})

t.test('CPUs and nodes, and CPU times that v2 has not', async t => {
  const one = group(t, 'cpuset', { 'cpuset.cpus': '0-3\n', 'cpuset.mems': '\n' })
  t.equal(await cpuset.getCpus(one), '0-3')
  await cpuset.setCpus(one, '1')
  await cpuset.setNodes(one, '0')
  await cpuset.migrateMemory(one)
  t.same([has(one, 'cpuset.cpus'), has(one, 'cpuset.mems')], ['1', '0'])
  t.match(await failureOf(() => cpuTimesByCpu(one)), /^VIR_ERR_OPERATION_UNSUPPORTED VIR_FROM_CGROUP: .*: operation/)
})

t.test('what makes no sense is an error, and no link is followed', async t => {
  const one = group(t, 'cpu', { 'cpu.weight': 'much\n', 'cpu.max': 'much\n', 'memory.max': '-5\n', victim: 'kept' })
  t.match(await failureOf(() => cpuShares.get(one)), /VIR_ERR_INTERNAL_ERROR .*Unable to parse 'much' as an integer/)
  t.match(await failureOf(() => bandwidth.get(one)), /Invalid 'cpu.max' data/)
  t.match(await failureOf(() => memoryLimit.get(one, 'hard')), /Failed to parse value '-5' as number/)
  symlinkSync('victim', join(one.path, 'io.bfq.weight'))
  t.match(await failureOf(() => blkioWeight.set(one, 5)), /VIR_ERR_SYSTEM_ERROR .*Too many levels of symbolic links/)
  t.equal(has(one, 'victim'), 'kept')
})

const parents = Object.fromEntries(
  hierarchies().flatMap(one =>
    one.version === 2 ? [] : one.controllers.map(controller => [controller, parentIn(one)] as const)
  )
)
const noV1 = (process.getuid?.() !== 0 || !parents.cpu || !parents.memory) && 'needs v1 with cpu and memory, and root'

t.test('the kernel’s own v1', { skip: noV1 }, async t => {
  const make = (controller: string): Group => {
    const path = join(parents[controller]!, `t-cgroup-${process.pid}`)
    mkdirSync(path)
    t.teardown(() => rmdirSync(path))
    return { path, version: 1 }
  }
  const cpu = make('cpu')
  await cpuShares.set(cpu, 500n)
  t.equal(await cpuShares.get(cpu), 500n)
  t.match(await failureOf(() => cpuShares.set(cpu, 1n)), /must be in range \[2, 262144\]/)
  t.same(await bandwidth.get(cpu), { period: 100_000n, quota: -1n })
  await bandwidth.set(cpu, { period: 50_000n, quota: 20_000n })
  t.same(await bandwidth.get(cpu), { period: 50_000n, quota: 20_000n })
  const below = { path: join(cpu.path, 'below'), version: 1 } as const
  mkdirSync(below.path)
  t.match(
    await failureOf(() => bandwidth.set(below, { period: 10_000n, quota: 900_000n })),
    /^VIR_ERR_SYSTEM_ERROR VIR_FROM_CGROUP: Invalid value '900000' for 'cpu.cfs_quota_us': Invalid argument$/
  )
  t.same(await bandwidth.get(below), { period: 100_000n, quota: -1n }, 'the period is set back')
  rmdirSync(below.path)
  const memory = make('memory')
  t.equal(await memoryLimit.get(memory, 'hard'), UNLIMITED_KIB)
  await memoryLimit.set(memory, 'hard', 65_536n)
  t.equal(await memoryLimit.get(memory, 'hard'), 65_536n)
  await memoryLimit.set(memory, 'hard', UNLIMITED_KIB)
  t.equal(await memoryLimit.get(memory, 'hard'), UNLIMITED_KIB)
})
