import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { managedReservationsPath } from '../../../../../src/drivers/qemu/device/disk/disk.ts'
import {
  startReservationsHelper,
  stopReservationsHelper
} from '../../../../../src/drivers/qemu/device/disk/pr-helper.ts'
import { define, testContext } from '../../../../helper/definition.ts'

const skip = spawnSync('qemu-pr-helper', ['--version']).status !== 0 && 'no qemu-pr-helper'

t.test('the helper runs as long as a guest with managed reservations', { skip }, async t => {
  // tap's own directories are too deep for a socket
  const libDir = mkdtempSync(join(tmpdir(), 'pr-'))
  t.teardown(() => rmSync(libDir, { recursive: true }))
  const { paths } = testContext()
  const context = testContext({ paths: { ...paths, libDir } })
  const socket = managedReservationsPath(context)
  const lun = (reservations: string) =>
    define(
      `<disk type='block' device='lun'><source dev='/dev/a'>${reservations}</source><target dev='sda' bus='scsi'/></disk>`
    )
  await startReservationsHelper(await lun(''), context, join(libDir, 'log'), {})
  t.notOk(existsSync(socket), 'nobody needs it')
  await startReservationsHelper(await lun("<reservations managed='yes'/>"), context, join(libDir, 'log'), {})
  t.ok(existsSync(socket))
  await stopReservationsHelper(context)
  t.notOk(existsSync(socket))
  t.equal(spawnSync('pgrep', ['-f', socket]).status, 1, 'it has ended')
  await stopReservationsHelper(context)
})
