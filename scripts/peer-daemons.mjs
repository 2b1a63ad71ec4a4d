// libvirt's daemons for a whole run of the tests: what does not run on this host is started, kept up and ended.
import { spawn, spawnSync } from 'node:child_process'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const DAEMONS = [
  ['virtlogd', '/run/libvirt/virtlogd-sock'],
  ['libvirtd', '/run/libvirt/libvirt-sock']
]
const START_LIMIT_MS = 30_000

const accepts = path =>
  new Promise(resolve => {
    const socket = connect(path)
    socket.once('error', () => resolve(false))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })

/** Starts what is missing; gives a function that ends what was started. Without libvirt installed there is nothing. */
export async function startPeerDaemons() {
  let ending = false
  const children = new Map()
  const keepUp = daemon => {
    const child = spawn(daemon, [], { stdio: 'ignore' })
    children.set(daemon, child)
    child.once('exit', () => {
      children.delete(daemon)
      // libvirtd does not survive all that the tests ask of it
      if (!ending) setTimeout(() => keepUp(daemon), 200)
    })
  }
  for (const [daemon, socket] of DAEMONS) {
    if (spawnSync('which', [daemon]).status !== 0 || (await accepts(socket))) continue
    keepUp(daemon)
    const deadline = Date.now() + START_LIMIT_MS
    while (!(await accepts(socket)) && Date.now() < deadline) await sleep(50)
  }
  return async () => {
    ending = true
    const gone = [...children.values()].map(child => new Promise(resolve => child.once('exit', resolve)))
    for (const child of children.values()) child.kill('SIGTERM')
    await Promise.race([Promise.all(gone), sleep(5000)])
  }
}
