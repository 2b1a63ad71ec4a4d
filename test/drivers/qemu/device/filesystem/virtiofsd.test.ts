import t from 'tap'
import {
  prepareFilesystems,
  startVirtiofsds,
  virtiofsdArgs
} from '../../../../../src/drivers/qemu/device/filesystem/virtiofsd.ts'
import { define, errorOf, testContext } from '../../../../helper/definition.ts'

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
  prepareFilesystems(def)
  t.equal(def.devices.filesystems[0]?.binary?.path, '/nowhere/virtiofsd')
  t.match(
    await errorOf(() => startVirtiofsds(def, testContext(), () => '/nowhere', {})),
    "virtiofsd binary '/nowhere/virtiofsd' is not executable"
  )
  const noDirectory = await define(fs("<binary path='/bin/true'/>", '/nowhere'), SHARED)
  t.match(
    await errorOf(() => startVirtiofsds(noDirectory, testContext(), () => '/nowhere', {})),
    "the virtiofs export directory '/nowhere' does not exist"
  )
})
