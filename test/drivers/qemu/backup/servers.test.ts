// NBD servers of pulled backups, seen by outsiders: over TCP with TLS for those who have the right certificate, and at a
// socket that the client brings.
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { bareGuest, Shim } from '../../../helper/shim.ts'

t.setTimeout(300_000)

const RUNNING = 1
const BYTES = 2 ** 20
const NAME = `t-nbd-${process.pid}`

const dir = mkdtempSync(join(tmpdir(), 'virshim-nbd-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
const content = Buffer.alloc(BYTES, 'what is on the disk ')

/** A guest with such a disk of its own. */
function guestXml(owner: string): string {
  const [raw, image] = [join(dir, `${owner}.raw`), join(dir, `${owner}.qcow2`)]
  writeFileSync(raw, content)
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, image])
  return bareGuest(
    NAME,
    `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${image}'/>
      <target dev='vda' bus='virtio'/></disk>`
  )
}

/** Certificates as QEMU wants them in a directory, signed by an authority of their own. */
class Authority {
  readonly #name: string
  readonly #file = (name: string) => join(dir, `${this.#name}-${name}.pem`)

  constructor(name: string) {
    this.#name = name
    this.#make('ca', ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'])
  }

  #make(name: string, extensions: string[], signed: string[] = []): void {
    const key = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-noenc',
      '-keyout',
      this.#file(`${name}-key`)
    ]
    const cert = ['-days', '2', '-subj', `/CN=${name}`, '-out', this.#file(`${name}-cert`)]
    const more = extensions.flatMap(extension => ['-addext', extension])
    execFileSync('openssl', ['req', '-x509', ...key, ...cert, ...more, ...signed], { stdio: 'ignore' })
  }

  /** Puts one into a directory for QEMU's client or server. */
  issue(endpoint: 'client' | 'server', into: string): void {
    const usage = `extendedKeyUsage=${endpoint}Auth`
    const extensions = ['basicConstraints=critical,CA:FALSE', usage, 'subjectAltName=DNS:localhost']
    this.#make(endpoint, extensions, ['-CA', this.#file('ca-cert'), '-CAkey', this.#file('ca-key')])
    mkdirSync(into, { recursive: true })
    for (const name of ['ca-cert', `${endpoint}-cert`, `${endpoint}-key`]) {
      writeFileSync(join(into, `${name}.pem`), readFileSync(this.#file(name)))
    }
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

const scratchOf = (name: string) => `<disk name='vda' type='file'><scratch file='${join(dir, name)}'/></disk>`

async function untilNoJob(shim: Shim): Promise<void> {
  while ((await shim.call('virDomainGetJobInfo')).body.type !== 0) await sleep(20)
}

/** Starts a shim for which /etc/pki/qemu is another directory. */
async function startWith(t: Test, certificates: string): Promise<Shim> {
  const shim = new Shim(guestXml('tls'))
  t.teardown(() => shim.end())
  const etc = join(dir, 'etc')
  mkdirSync(join(etc, 'pki'), { recursive: true })
  execFileSync('cp', ['-r', certificates, join(etc, 'pki/qemu')])
  const script = `mount -t overlay -o lowerdir=${etc}:/etc overlay /etc && exec "$@"`
  const virshimd = ['bin/virshimd', '--root', shim.root, '--aggregator', 'none', shim.xmlFile]
  void shim.run('unshare', ['-m', 'sh', '-c', script, 'sh', ...virshimd])
  await shim.untilState(RUNNING, 60_000)
  return shim
}

t.test('TLS: who has a certificate of ours fetches the disk, nobody else', async t => {
  const [ours, theirs] = [new Authority('ours'), new Authority('theirs')]
  ours.issue('server', join(dir, 'server'))
  ours.issue('client', join(dir, 'client'))
  theirs.issue('client', join(dir, 'stranger'))
  // it trusts the server, and is not trusted
  writeFileSync(join(dir, 'stranger/ca-cert.pem'), readFileSync(join(dir, 'client/ca-cert.pem')))
  const shim = await startWith(t, join(dir, 'server'))
  const port = await freePort()
  const begin = async () => {
    const server = `<server transport='tcp' tls='yes' name='localhost' port='${port}'/>`
    const backupXML = `<domainbackup mode='pull'>${server}<disks>${scratchOf('scratch')}</disks></domainbackup>`
    return (await shim.call('virDomainBackupBegin', { backupXML })).body
  }
  t.same(await begin(), {})
  t.match((await shim.call('virDomainBackupGetXMLDesc')).body.xml, /<server transport='tcp' tls='yes' name='localhost'/)
  const fetch = (certificates: string | undefined) => {
    const object = `tls-creds-x509,id=t,dir=${certificates},endpoint=client`
    const image = `driver=nbd,export=vda,server.type=inet,server.host=localhost,server.port=${port}`
    const how = certificates === undefined ? [image] : ['--object', object, `${image},tls-creds=t`]
    const args = [...how.slice(0, -1), '--image-opts', '-O', 'raw', how.at(-1)!, join(dir, 'fetched')]
    rmSync(join(dir, 'fetched'), { force: true })
    return spawnSync('qemu-img', ['convert', ...args], { encoding: 'utf8', timeout: 60_000 })
  }
  t.match(fetch(undefined), { status: 1, stderr: /TLS/ }, 'no certificate')
  t.match(fetch(join(dir, 'stranger')), { status: 1 }, 'the certificate of a stranger')
  t.match(fetch(join(dir, 'client')), { status: 0 })
  t.ok(readFileSync(join(dir, 'fetched')).equals(content), 'the disk byte by byte')
  await shim.call('virDomainAbortJob', {})
  await untilNoJob(shim)
  t.same(await begin(), {}, 'nothing is left of it in QEMU')
})

t.test('a socket that the client brings', async t => {
  const shim = new Shim(guestXml('shim'))
  t.teardown(() => shim.end())
  void shim.start('--aggregator', 'none')
  await shim.untilState(RUNNING, 60_000)
  const uri = `qemu+unix:///system?socket=${join(shim.root, 'libvirt-sock')}`
  const { stdout } = await promisify(execFile)('/usr/bin/python3', ['test/helper/backup-socket.py', uri, NAME, dir], {
    timeout: 120_000
  })
  t.match(JSON.parse(stdout), {
    'no group': [27, 5, /Missing required attribute 'fdgroup' in element 'server'/],
    'and a path': [27, 20, /transport 'fd' does not support socket attribute/],
    unknown: [8, 10, /file descriptor group 'nbd' was not associated with the domain/],
    two: [8, 10, /file descriptor group 'nbd' must contain only 1 file descriptor for NBD server/],
    'no socket': [1, 10, /nbd-server-start/],
    twice: [0, 0, 0, 0, 0, 0],
    shown: "<server transport='fd' fdgroup='nbd'/>"
  })
  t.ok(readFileSync(join(dir, 'fetched')).equals(content), 'the disk byte by byte')
})
