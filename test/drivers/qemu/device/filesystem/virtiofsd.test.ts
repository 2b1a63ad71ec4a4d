import { readdirSync, writeFileSync } from 'node:fs'
import t from 'tap'
import {
  prepareFilesystem,
  virtiofsdArgs,
  virtiofsSocket
} from '../../../../../src/drivers/qemu/device/filesystem/virtiofsd.ts'
import { define, errorOf, testContext } from '../../../../helper/definition.ts'
import { giveDevices, hostGuest, takeDevices } from '../../../../helper/host-guest.ts'

const SHARED = { outside: "<memoryBacking><access mode='shared'/></memoryBacking>" }
const fs = (inside: string, dir = '/a,b') =>
  `<filesystem type='mount'><driver type='virtiofs'/>${inside}<source dir='${dir}'/><target dir='t'/></filesystem>`

const options = async (inside: string, separate: boolean) =>
  virtiofsdArgs((await define(fs(inside), SHARED)).devices.filesystems[0]!, '/s', separate).slice(1)

t.test('options of virtiofsd', async t => {
  const lock = "<lock posix='on' flock='off'/>"
  const modes = "<cache mode='none'/><sandbox mode='chroot'/>"
  t.same(await options(`<binary path='/bin/v' xattr='off'>${modes}${lock}<thread_pool size='0'/></binary>`, false), [
    '-o',
    'source=/a,,b,cache=none,sandbox=chroot,no_xattr,no_flock,posix_lock',
    '--thread-pool-size=0'
  ])
  t.same(await options(`<binary path='/bin/v' xattr='on'>${modes}</binary>`, true), [
    ...['--shared-dir', '/a,b', '--cache', 'never', '--sandbox', 'chroot', '--xattr']
  ])
  t.same(await options("<binary path='/bin/v' xattr='off'/>", true), ['--shared-dir', '/a,b'])
  const refused = await errorOf(() => options(`<binary path='/bin/v'>${lock}</binary>`, true))
  t.match(refused, 'VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: locking options are not supported by this')
})

t.test('owners, open files and read-only directories', async t => {
  const owners = "<idmap><uid start='0' target='1000' count='1'/><gid start='0' target='7' count='2'/></idmap>"
  t.same(await options(`<binary path='/bin/v'><openfiles max='99'/></binary>${owners}<readonly/>`, true), [
    ...['--shared-dir', '/a,b', '--rlimit-nofile=99', '--uid-map=:0:1000:1:', '--gid-map=:0:7:2:', '--readonly']
  ])
})

t.test('a virtiofsd is asked for its abilities', async t => {
  const prepared = async (binary: string) => {
    const def = await define(fs(`<binary path='${binary}'/>`), SHARED)
    prepareFilesystem(def.devices.filesystems[0]!, def, testContext())
  }
  t.match(
    await errorOf(() => prepared('/nowhere/v')),
    'VIR_ERR_INTERNAL_ERROR: internal error: Child process (/nowhere/v --print-capabilities) unexpected exit status 127: ' +
      'libvirt:  error : cannot execute binary /nowhere/v: No such file or directory\n'
  )
  t.match(
    await errorOf(() => prepared('/bin/false')),
    'internal error: Child process (/bin/false --print-capabilities) unexpected exit status 1'
  )
  t.match(await errorOf(() => prepared('/bin/true')), "internal error: unable to parse json capabilities '/bin/true'")
})

t.test('a program the user names is taken as it is, and has to be there', async t => {
  const def = await define(fs("<binary path='/nowhere/virtiofsd'/>"), SHARED)
  t.match(
    await errorOf(() => takeDevices('filesystems', hostGuest(def, '/nowhere'))),
    "virtiofsd binary '/nowhere/virtiofsd' is not executable"
  )
  const noDirectory = await define(fs("<binary path='/bin/true'/>", '/nowhere'), SHARED)
  t.match(
    await errorOf(() => takeDevices('filesystems', hostGuest(noDirectory, '/nowhere'))),
    "the virtiofs export directory '/nowhere' does not exist"
  )
})

t.test('its files go with it, those it made itself too', async t => {
  const dir = t.testdir({})
  const context = testContext()
  context.paths.libDir = dir
  const guest = hostGuest(await define(fs("<binary path='/bin/v'/>"), SHARED), dir, { context })
  const socket = virtiofsSocket(guest.def.devices.filesystems[0]!, context.paths)
  for (const file of [socket, `${socket}.pid`]) writeFileSync(file, '')
  await giveDevices('filesystems', guest)
  t.same(readdirSync(dir), [])
})
