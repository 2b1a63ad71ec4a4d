// Boots the example guest with libvirt_qemu, shows it through its API, shuts it down by ACPI.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'

const READY = 'virshim guest ready'
const BOOT_LIMIT_MS = 180_000
const OFF_LIMIT_MS = 60_000

const dir = mkdtempSync(join(tmpdir(), 'virshim-quickstart-'))
const root = join(dir, 'tiny')
const socket = join(root, 'api.sock')

const step = text => console.log(`\n\x1b[1m==> ${text}\x1b[0m`)

function show(...args) {
  console.log(`$ virshim -c ${socket} ${args.join(' ')}`)
  const { status } = spawnSync('bin/virshim', ['-c', socket, ...args], { stdio: 'inherit' })
  if (status !== 0) throw new Error(`virshim ${args[0]} ended with ${status}`)
}

/** Settles when the guest has printed `text` on its console; late viewers get what was said before. */
function untilPrinted(text, limitMs) {
  return new Promise((resolve, reject) => {
    const viewer = new WebSocket(`ws+unix:${socket}:/v1/virDomainOpenConsole`)
    let seen = ''
    const started = Date.now()
    const progress = setInterval(() => process.stdout.write(`  ${Math.round((Date.now() - started) / 1000)} s\r`), 1000)
    const end = (settle, value) => {
      clearInterval(progress)
      clearTimeout(timer)
      viewer.close()
      settle(value)
    }
    const timer = setTimeout(() => end(reject, new Error(`no '${text}' on the console; it said: ${seen}`)), limitMs)
    viewer.on('message', chunk => {
      seen += chunk
      if (seen.includes(text)) end(resolve, Date.now() - started)
    })
    viewer.on('error', error => end(reject, error))
  })
}

step('Starting examples/tiny.xml with libvirt_qemu (one process for this one guest)')
const shim = spawn('bin/libvirt_qemu', ['--root', root, 'examples/tiny.xml'], {
  stdio: ['ignore', 'ignore', 'pipe']
})
let output = ''
shim.stderr.on('data', chunk => {
  output += chunk
})
const ended = new Promise(resolve => shim.once('exit', (code, signal) => resolve(signal ?? code)))
process.once('SIGINT', () => shim.kill('SIGTERM'))

try {
  while (!existsSync(socket)) {
    if (shim.exitCode !== null) throw new Error(`libvirt_qemu ended:\n${output}`)
    await sleep(20)
  }
  step('Waiting for the guest to boot; its serial console is read through the API')
  const took = await untilPrinted(READY, BOOT_LIMIT_MS)
  console.log(`  the guest says '${READY}' after ${(took / 1000).toFixed(1)} s`)

  step('What virshim knows of it')
  show('list')
  show('dominfo', 'tiny')

  step('Try it yourself while a guest runs')
  console.log(`  bin/libvirt_qemu --root ${root} examples/tiny.xml &`)
  console.log(`  curl --unix-socket ${socket} http://x/v1/virDomainGetInfo`)
  console.log(`  bin/virshim -c ${socket} console tiny        # leave with Ctrl + ]`)

  step('Shutting the guest down by ACPI')
  show('shutdown', 'tiny', '--mode', 'acpi')
  const status = await Promise.race([ended, sleep(OFF_LIMIT_MS, 'nothing', { ref: false })])
  if (status !== 0) throw new Error(`libvirt_qemu ended with ${status}:\n${output}`)
  console.log('\nThe guest is off and nothing is left running. README.md has a first session to go on with.')
} catch (error) {
  console.error(`quickstart: ${error.message}`)
  process.exitCode = 1
} finally {
  if (shim.exitCode === null && shim.signalCode === null) {
    shim.kill('SIGTERM')
    shim.kill('SIGTERM')
    await ended
  }
  rmSync(dir, { recursive: true, force: true })
}
