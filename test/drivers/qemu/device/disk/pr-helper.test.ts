import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import {
  managedReservationsPath,
  stopReservationsHelper
} from '../../../../../src/drivers/qemu/device/disk/pr-helper.ts'
import { define, testContext } from '../../../../helper/definition.ts'
import { giveDevices, hostGuest, takeDevices } from '../../../../helper/host-guest.ts'

const skip = spawnSync('qemu-pr-helper', ['--version']).status !== 0 && 'no qemu-pr-helper'

t.test('the helper runs as long as a guest with managed reservations', { skip }, async t => {
  // tap's own directories are too deep for a socket
  const libDir = mkdtempSync(join(tmpdir(), 'pr-'))
  t.teardown(() => rmSync(libDir, { recursive: true }))
  const { paths } = testContext()
  const context = testContext({ paths: { ...paths, libDir } })
  const socket = managedReservationsPath(context)
  const lun = (target: string, reservations: string) =>
    `<disk type='block' device='lun'><source dev='/dev/a'>${reservations}</source><target dev='${target}' bus='scsi'/></disk>`
  const managed = "<reservations managed='yes'/>"
  const guest = async (devices: string) => hostGuest(await define(devices), libDir, { context })
  await takeDevices('disks', await guest(lun('sda', '')))
  t.notOk(existsSync(socket), 'nobody needs it')
  const two = await guest(lun('sda', managed) + lun('sdb', managed))
  await takeDevices('disks', two)
  t.ok(existsSync(socket))
  t.equal(spawnSync('pgrep', ['-f', socket], { encoding: 'utf8' }).stdout.trim().split('\n').length, 1, 'for both')
  await giveDevices('disks', two)
  t.ok(existsSync(socket), 'each is still needed by the other')
  two.def.devices.disks.pop()
  await giveDevices('disks', two)
  t.notOk(existsSync(socket))
  t.equal(spawnSync('pgrep', ['-f', socket]).status, 1, 'it has ended')
  await stopReservationsHelper(context)
})
