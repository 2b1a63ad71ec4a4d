// The package as npm makes and installs it: away from this checkout, with nothing beside it.
import { spawnSync } from 'node:child_process'
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { endAll } from './helper/processes.ts'
import { bareGuest, Shim } from './helper/shim.ts'

const RUNNING = 1
const PROGRAMS = ['libvirt_qemu', 'virshim', 'virshim-aggregatord', 'virshimd']
t.setTimeout(240_000)

const scratch = mkdtempSync(join(tmpdir(), 'virshim-package-'))
const prefix = join(scratch, 'prefix')
const installed = join(prefix, 'lib/node_modules/virshim')
t.teardown(async () => {
  await endAll(scratch)
  rmSync(scratch, { recursive: true, force: true })
})

function run(program: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(program, args, { encoding: 'utf8', timeout: 120_000, env: { ...process.env, HOME: scratch } })
}

t.before(() => {
  const packed = run('npm', 'pack', '--silent', '--pack-destination', scratch)
  if (packed.status !== 0) throw new Error(packed.stderr)
  const tarball = join(scratch, packed.stdout.trim())
  const given = run('npm', 'install', '--global', '--offline', '--engine-strict', '--prefix', prefix, tarball)
  if (given.status !== 0) throw new Error(given.stderr)
})

t.test('every program says its version and its help', async t => {
  for (const program of PROGRAMS) {
    const path = join(prefix, 'bin', program)
    t.match(run(path, '--version'), { status: 0, stdout: /\d+\.\d+\.\d+/ }, program)
    t.match(run(path, '--help'), { status: 0, stdout: /\S/ }, program)
    t.ok(lstatSync(join(installed, 'bin', program)).isFile(), `npm packs no links: ${program}`)
  }
  t.equal(readFileSync('bin/libvirt_qemu', 'utf8'), readFileSync('bin/virshimd', 'utf8'), 'two names of one program')
})

t.test('a guest of the installed programs, all of whose code is in the package', async t => {
  t.throws(() => readdirSync(join(installed, 'node_modules')), 'no packages beside it')
  const name = `t-package-${process.pid}`
  const shim = new Shim(bareGuest(name))
  t.teardown(() => shim.end())
  const exited = shim.run(join(prefix, 'bin/libvirt_qemu'), ['--root', shim.root, '--aggregator', 'none', shim.xmlFile])
  await shim.untilState(RUNNING)
  for (const path of ['/openapi.json', '/metrics', '/healthz', '/v1/report', '/v1/virDomainGetXMLDesc']) {
    t.equal((await shim.call(path)).status, 200, path)
  }
  t.equal(await upgraded(join(shim.root, 'api.sock'), '/v1/virDomainOpenConsole'), 101)
  const virshim = join(prefix, 'bin/virshim')
  t.match(run(virshim, '-c', join(shim.root, 'api.sock'), 'domstate', name), { status: 0, stdout: /running/ })
  t.match(run(virshim, 'domxml-to-native', 'qemu-argv', shim.xmlFile), { status: 0, stdout: /-machine/ })
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})

/** @returns the answer's status to a WebSocket's handshake */
function upgraded(socketPath: string, path: string): Promise<number | undefined> {
  const headers = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64')
  }
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, headers })
    asked.on('error', reject)
    asked.on('response', ({ statusCode }) => resolve(statusCode))
    asked.on('upgrade', ({ statusCode }, socket) => {
      socket.destroy()
      resolve(statusCode)
    })
    asked.end()
  })
}

t.test('what a reader of the package needs is in it', async t => {
  const readme = readFileSync(join(installed, 'README.md'), 'utf8')
  const links = [...readme.matchAll(/\]\(([^):#]+)/g)].map(([, path]) => path ?? '')
  t.ok(links.length > 0)
  for (const path of ['LICENSE', ...links]) t.ok(lstatSync(join(installed, path)).isFile(), path)
  const notices = readFileSync(join(installed, 'dist/THIRD-PARTY-NOTICES'), 'utf8')
  t.match(notices, /^fastify \d+\.\d+\.\d+ \(MIT\)\n\n.*Permission is hereby granted/ms)
  t.match(notices, /^pino \d/m)
  t.notMatch(notices, /^(esbuild|tap|typescript) \d/m, 'nor of what only builds and tests')
  const { bomFormat, components } = JSON.parse(readFileSync(join(installed, 'dist/sbom.cdx.json'), 'utf8'))
  t.equal(bomFormat, 'CycloneDX')
  const named = [...notices.matchAll(/^(\S+) (\d\S*) \(/gm)].map(([, name, version]) => `${name}@${version}`)
  t.same(
    components.map(({ name, version }: Record<string, string>) => `${name}@${version}`),
    named,
    'the bill of materials has the same packages'
  )
  for (const { purl, hashes } of components) t.match(hashes, [{ alg: 'SHA-512', content: /^[0-9a-f]{128}$/ }], purl)
})

t.test('nothing that is installed asks for more than engines says', async t => {
  const { dependencies, engines } = JSON.parse(readFileSync('package.json', 'utf8'))
  t.equal(dependencies, undefined, 'what the bundles hold is no dependency')
  t.equal(engines.node, '>=20.9')
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'))
  for (const [path, { engines }] of Object.entries<{ engines?: { node?: string } }>(packages)) {
    const lowest = /^>=\s*(\d+)[\d.]*$/.exec(engines?.node ?? '')?.[1]
    if (lowest) t.ok(Number(lowest) <= 20, `${path} takes Node.js ${engines?.node}`)
  }
})
