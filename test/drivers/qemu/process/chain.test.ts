// Images on images of a real guest: all of a chain has a node of its own, wherever it lies and whoever named it.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { bareGuest, Shim } from '../../../helper/shim.ts'

const PAUSED = 3
const LIMIT_MS = 60_000

t.setTimeout(120_000)

const image = (...args: string[]) => execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...args])
const disk = (path: string, inside = '') =>
  `<disk type='file'><driver name='qemu' type='qcow2'/><source file='${path}'/><target dev='vda' bus='virtio'/>${inside}</disk>`

t.test('images on a server and in JSON, below a disk that forgets what is written', async t => {
  // sockets need a short path
  const dir = mkdtempSync(join(tmpdir(), 'virshim-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const path = (name: string) => join(dir, name)
  execFileSync('truncate', ['-s', '1M', path('raw.img')])
  const nbd = spawn('qemu-nbd', ['-k', path('nbd.sock'), '-x', 'e', '-f', 'raw', '-r', '-t', path('raw.img')])
  t.teardown(() => nbd.kill())
  for (const deadline = Date.now() + LIMIT_MS; !existsSync(path('nbd.sock')) && Date.now() < deadline; ) await sleep(20)
  image('-F', 'raw', '-b', `nbd+unix:///e?socket=${path('nbd.sock')}`, path('on-nbd.qcow2'))
  const json = `json:{"file":{"driver":"file","filename":"${path('on-nbd.qcow2')}"}}`
  image('-F', 'qcow2', '-b', json, path('top.qcow2'))

  const shim = new Shim(bareGuest('t-chain', disk(path('top.qcow2'), '<transient/>')))
  t.teardown(() => shim.end())
  const exited = shim.start('--paused')
  await shim.untilState(PAUSED)
  const { xml } = (await shim.call('virDomainGetXMLDesc', {})).body
  const [found] = /<disk .*?<\/disk>/s.exec(xml) ?? ['']
  const indexes = [...found.matchAll(/index='(\d+)'/g)].map(([, index]) => Number(index))
  t.equal(new Set(indexes).size, 4, `${indexes}`)
  t.match(found, `<source file='${path('on-nbd.qcow2')}'/>`)
  t.match(
    found,
    new RegExp(`<source protocol='nbd' name='e'[^>]*>\\s*<host transport='unix' socket='${path('nbd.sock')}'/>`)
  )
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})

t.test('an image that names another in a way only QEMU knows is refused', async t => {
  const dir = t.testdir({ 'secret.img': '' })
  const top = join(dir, 'top.qcow2')
  execFileSync('truncate', ['-s', '1M', join(dir, 'secret.img')])
  image('-u', '-F', 'raw', '-b', `json:{"driver":"blkdebug","image":"${dir}/secret.img"}`, top, '1M')
  const shim = new Shim(bareGuest('t-chain', disk(top)))
  t.teardown(() => shim.end())
  t.equal(await shim.start(), 1)
  t.match(shim.errors, /missing parser implementation for JSON backing volume driver 'blkdebug'/)
})
