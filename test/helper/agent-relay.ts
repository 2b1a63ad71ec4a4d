// A guest whose agent is a stand-in of the test's: it hands on what comes in on its agent's port to a second port, whose
// end on the host is the test's.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeGuestFiles, tinyGuestFiles } from './booted-guest.ts'

/** The name of the second port. */
export const RELAY_PORT = 'virshim.relay'

/** First process of the guest: drivers of virtio's ports, then one `cat` each way. A port can be opened only once. */
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(grep virtio /modules/order); do insmod "/modules/$module" 2>/dev/null; done
port() {
  for one in /sys/class/virtio-ports/*; do
    [ "$(cat "$one/name")" = "$1" ] && echo "/dev/\${one##*/}"
  done
}
exec 4<>"$(port ${RELAY_PORT})"
exec 3<>"$(port org.qemu.guest_agent.0)"
# a port whose other end is closed reads as an end of file
while true; do cat <&3 >&4; usleep 20000; done &
while true; do cat <&4 >&3; usleep 20000; done
`

/** Makes the relay's initrd in a directory: the example guest's, with another first process behind it. */
export function makeRelay(dir: string): { kernel: string; initrd: string } {
  makeGuestFiles()
  const tree = mkdtempSync(join(tmpdir(), 'relay-'))
  mkdirSync(join(tree, 'dev'), { recursive: true })
  writeFileSync(join(tree, 'init'), INIT)
  chmodSync(join(tree, 'init'), 0o755)
  const { stdout } = spawnSync('cpio', ['--quiet', '-o', '-H', 'newc', '-R', '0:0'], { cwd: tree, input: 'init\n' })
  rmSync(tree, { recursive: true, force: true })
  const { kernel, initrd } = tinyGuestFiles
  const own = join(dir, 'relay.initrd')
  const whole = readFileSync(initrd)
  // archives begin at multiples of four bytes
  writeFileSync(own, Buffer.concat([whole, Buffer.alloc(-whole.length & 3), stdout]), { mode: 0o644 })
  return { kernel, initrd: own }
}
