import t from 'tap'
import { prepareFilesystem, virtiofsdArgs } from '../../../../../src/drivers/qemu/device/filesystem/virtiofsd.ts'
import { define, errorOf } from '../../../../helper/definition.ts'
import { hostGuest, takeDevices } from '../../../../helper/host-guest.ts'

const SHARED = { outside: "<memoryBacking><access mode='shared'/></memoryBacking>" }
const fs = (inside: string, dir = '/a,b') =>
  `<filesystem type='mount'><driver type='virtiofs'/>${inside}<source dir='${dir}'/><target dir='t'/></filesystem>`

t.test('options of virtiofsd', async t => {
  const binary =
    "<binary path='/bin/v' xattr='off'><cache mode='none'/><sandbox mode='chroot'/><lock posix='on' flock='off'/><thread_pool size='0'/></binary>"
  const [dev] = (await define(fs(binary), SHARED)).devices.filesystems
  t.same(virtiofsdArgs(dev!, '/s'), [
    '--socket-path=/s',
    '-o',
    'source=/a,,b,cache=none,sandbox=chroot,no_xattr,no_flock,posix_lock',
    '--thread-pool-size=0'
  ])
})

t.test('a program the user names is taken as it is, and has to be there', async t => {
  const def = await define(fs("<binary path='/nowhere/virtiofsd'/>"), SHARED)
  prepareFilesystem(def.devices.filesystems[0]!)
  t.equal(def.devices.filesystems[0]?.binary?.path, '/nowhere/virtiofsd')
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
