// Variable stores of UEFI: made from a template that is a file, given to QEMU's user.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { DomainDef } from '../../../../src/conf/domain-def.ts'
import { giveNvram, makeNvram } from '../../../../src/drivers/qemu/firmware/nvram.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'

const NOBODY = 65534
const notRoot = process.getuid?.() !== 0 && 'giving a file away takes root'

const guest = (path: string, nvramTemplate?: string) =>
  ({ os: { loader: { nvram: { typed: false, source: { type: 'file', path } }, nvramTemplate } } }) as DomainDef

t.test('a store is made once, and anew when it is to be', async t => {
  const dir = t.testdir({ template: 'new' })
  const path = join(dir, 'nvram/guest_VARS.fd')
  makeNvram(guest(path, join(dir, 'template')))
  t.equal(readFileSync(path, 'utf8'), 'new')
  t.equal(statSync(path).mode & 0o777, 0o600)
  writeFileSync(path, 'used')
  makeNvram(guest(path, join(dir, 'template')))
  t.equal(readFileSync(path, 'utf8'), 'used')
  makeNvram(guest(path, join(dir, 'template')), true)
  t.equal(readFileSync(path, 'utf8'), 'new')
  t.match(await failureOf(() => makeNvram(guest(join(dir, 'none')))), /^VIR_ERR_OPERATION_FAILED .*master var store/)
})

t.test('templates that are no files are not waited for', async t => {
  const dir = t.testdir()
  const path = join(dir, 'VARS.fd')
  const fifo = join(dir, 'fifo')
  t.equal(spawnSync('mkfifo', [fifo]).status, 0)
  const writer = spawn('sh', ['-c', 'echo words >"$0"', fifo])
  t.teardown(() => writer.kill('SIGKILL'))
  for (const template of [fifo, '/dev/null', dir, join(dir, 'nosuch')]) {
    const failure = await failureOf(() => makeNvram(guest(path, template)))
    t.match(failure, /^VIR_ERR_SYSTEM_ERROR .*Failed to open file/, template)
    t.notOk(existsSync(path))
  }
})

t.test('a store that is a link is given with what it leads to', { skip: notRoot }, async t => {
  const dir = t.testdir({ kept: { store: '' } })
  mkdirSync(join(dir, 'nvram'))
  const path = join(dir, 'nvram/VARS.fd')
  symlinkSync('../kept/store', path)
  giveNvram(guest(path), { user: String(NOBODY) })
  t.equal(statSync(path).uid, NOBODY)
})
