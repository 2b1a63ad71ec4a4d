// Disks that go on at a server: copies over NBD, by a Unix socket and by TCP, with the shim killed in between, the server
// lost, and back again. What arrives is compared byte by byte.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { bareGuest, Shim } from '../../../helper/shim.ts'

t.setTimeout(300_000)

const RUNNING = 1
const SIZE = 4 * 2 ** 20
const [TRANSIENT_JOB, REUSE, PIVOT] = [4, 2, 2]
const LIMIT_MS = 60_000

const dir = mkdtempSync(join(tmpdir(), 'virshim-places-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
const file = (name: string) => join(dir, name)

/** A server of an image, which takes one connection after another until it is ended. */
class Server {
  readonly image: string
  readonly #format: string
  readonly #listen: string[]
  #child: ChildProcess | undefined

  constructor(name: string, format: string, ...listen: string[]) {
    this.image = file(name)
    this.#format = format
    this.#listen = listen
    execFileSync('qemu-img', ['create', '-q', '-f', format, this.image, String(SIZE)])
  }

  async start(): Promise<void> {
    const ready = file(`${this.#listen.join('').replaceAll('/', '-')}.pid`)
    rmSync(ready, { force: true })
    const args = ['-t', '-e', '8', '-f', this.#format, '-x', 'disk', '--pid-file', ready, ...this.#listen, this.image]
    this.#child = spawn('qemu-nbd', args, { stdio: 'ignore' })
    for (const deadline = Date.now() + LIMIT_MS; !existsSync(ready) && Date.now() < deadline; ) await sleep(20)
  }

  async end(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    await gone
  }

  /** The whole of its disk, which may be written to. */
  content(): Buffer {
    execFileSync('qemu-img', ['convert', '-U', '-f', this.#format, '-O', 'raw', this.image, file('content')])
    return readFileSync(file('content'))
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

const port = await freePort()
const servers = {
  unix: new Server('unix.raw', 'raw', '-k', file('nbd')),
  tcp: new Server('tcp.qcow2', 'qcow2', '-b', '127.0.0.1', '-p', String(port))
}
t.teardown(() => Promise.all(Object.values(servers).map(server => server.end())))
const HOSTS = {
  unix: `<host transport='unix' socket='${file('nbd')}'/>`,
  tcp: `<host name='127.0.0.1' port='${port}'/>`
}
const at = (where: keyof typeof HOSTS, name = 'disk') =>
  `<disk type='network'><driver type='raw'/><source protocol='nbd' name='${name}'>${HOSTS[where]}</source></disk>`

const image = file('disk.qcow2')
execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', image, String(SIZE)])
const shim = new Shim(
  bareGuest(
    `t-places-${process.pid}`,
    `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${image}'/>
      <target dev='vda' bus='virtio'/></disk>`
  )
)
t.teardown(() => shim.end())

const model = Buffer.alloc(SIZE)
let pattern = 0

async function ok(api: string, args: object = {}) {
  const { status, body } = await shim.call(api, args)
  if (status !== 200) throw new Error(`${api}: ${body.codeName} ${body.message}`)
  return body
}

/** The guest writes somewhere. */
async function write(): Promise<void> {
  const byte = ++pattern
  const start = ((byte * 37) % 64) * 65536
  const line = `qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -q -P ${byte} ${start} 65536"`
  const cmd = JSON.stringify({ execute: 'human-monitor-command', arguments: { 'command-line': line } })
  const { result } = await ok('virDomainQemuMonitorCommand', { cmd })
  if (JSON.parse(result).return !== '') throw new Error(result)
  model.fill(byte, start, start + 65536)
}

async function restart(): Promise<void> {
  const gone = once(shim.child!, 'exit')
  shim.child!.kill('SIGKILL')
  await gone
  void shim.run('bin/virshimd', ['--root', shim.root])
  await shim.untilState(RUNNING, LIMIT_MS)
}

/** The disk goes on there, written to all the time. */
async function copyTo(destxml: string, { flags = 0, killed = false } = {}): Promise<void> {
  await write()
  await ok('virDomainBlockCopy', { disk: 'vda', destxml, params: {}, flags: TRANSIENT_JOB | flags })
  if (killed) await restart()
  for (let job = { cur: 0, end: 1 }; job.cur !== job.end; job = await ok('virDomainGetBlockJobInfo', { disk: 'vda' })) {
    await write()
  }
  await ok('virDomainBlockJobAbort', { disk: 'vda', flags: PIVOT })
  for (let i = 0; i < 5; i++) await write()
}

const shown = async () => (await ok('virDomainGetXMLDesc')).xml as string

t.before(async () => {
  for (const server of Object.values(servers)) await server.start()
  void shim.start('--define')
  await shim.untilState(RUNNING, LIMIT_MS)
})

t.test('no server, no export: nothing is left of the copy', async (t: Test) => {
  const nobody = at('unix').replace(file('nbd'), file('nobody'))
  for (const destxml of [nobody, at('unix', 'nosuch')]) {
    const { body } = await shim.call('virDomainBlockCopy', { disk: 'vda', destxml, flags: TRANSIENT_JOB })
    t.match(body, { codeName: 'VIR_ERR_INTERNAL_ERROR', message: /blockdev-add/ })
    t.notMatch(await shown(), /<mirror/)
  }
  const status = JSON.parse(readFileSync(join(shim.root, 'status.json'), 'utf8'))
  t.equal(status.looseImages, undefined)
})

t.test('to a server, by its socket', async t => {
  await copyTo(at('unix'))
  t.match(await shown(), /<source protocol='nbd' name='disk'[^>]*>\s*<host transport='unix'/)
  await restart()
  await write()
  t.ok(servers.unix.content().equals(model), 'the server has every byte')
})

t.test('from there to another, by TCP, the shim killed meanwhile', async t => {
  await copyTo(at('tcp'), { flags: REUSE, killed: true })
  t.match(await shown(), /<host name='127.0.0.1' port='\d+'\/>/)
  await servers.unix.end()
  await write()
})

t.test('a server that is lost ends the copy, and the guest goes on where it was', async t => {
  await servers.unix.start()
  const args = { disk: 'vda', destxml: at('unix'), params: {}, flags: TRANSIENT_JOB }
  await ok('virDomainBlockCopy', args)
  await servers.unix.end()
  for (const deadline = Date.now() + LIMIT_MS; (await ok('virDomainGetBlockJobInfo', { disk: 'vda' })).found !== 0; ) {
    await write()
    if (Date.now() > deadline) throw new Error('the job does not end')
  }
  t.notMatch(await shown(), /<mirror/)
  await write()
})

t.test('back to a file', async t => {
  const back = file('back.qcow2')
  await copyTo(`<disk type='file'><driver type='qcow2'/><source file='${back}'/></disk>`)
  t.match(await shown(), `<source file='${back}'`)
  await shim.call('virDomainDestroy', {})
  await servers.tcp.end()
  writeFileSync(file('model'), model)
  execFileSync('qemu-img', ['compare', '-q', '-f', 'qcow2', '-F', 'raw', back, file('model')])
  execFileSync('qemu-img', ['check', '-q', back])
  t.pass('the file has every byte')
})
