// A D-Bus of the guest's own, for a D-Bus display that is given no address (qemuDBusStart).
import { chownSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { DomainDef } from '../../conf/domain-def.ts'
import { escapeXml } from '../../conf/xml.ts'
import type { GuestPaths } from './context.ts'
import { runHostCommand } from './host-command.ts'
import { groupId, userId } from './host-ids.ts'

const PROGRAM = 'dbus-daemon'

const fileBeside = ({ dbusSocket }: GuestPaths, extension: string) => dbusSocket.replace(/\.sock$/, extension)

/** Where QEMU finds the guest's own bus. */
export const ownBusAddress = ({ dbusSocket }: GuestPaths): string => `unix:path=${dbusSocket}`

/** Anyone may connect who can reach the socket, and do anything. */
const configuration = (paths: GuestPaths) => `<busconfig>
  <type>org.libvirt.qemu</type>
  <listen>${escapeXml(ownBusAddress(paths))}</listen>
  <pidfile>${escapeXml(fileBeside(paths, '.pid'))}</pidfile>
  <auth>EXTERNAL</auth>
  <policy context='default'>
    <allow user='*'/>
    <allow send_destination='*' eavesdrop='true'/>
    <allow eavesdrop='true'/>
    <allow own='*'/>
  </policy>
</busconfig>
`

/**
 * Starts the bus if a display needs it; it detaches itself once its socket is there.
 * @param owner who QEMU runs as and so connects as
 * @throws VIR_ERR_INTERNAL_ERROR with what it said
 */
export async function startDbusDaemon(
  def: DomainDef,
  paths: GuestPaths,
  owner: { user?: string; group?: string }
): Promise<void> {
  const isNeeded = def.devices.graphics.some(dev => dev.type === 'dbus' && dev.address === ownBusAddress(paths))
  if (!isNeeded) return
  stopDbusDaemon(paths)
  const config = fileBeside(paths, '.conf')
  writeFileSync(config, configuration(paths), { mode: 0o600 })
  await runHostCommand(PROGRAM, ['--fork', `--config-file=${config}`])
  if (owner.user !== undefined) chownSync(paths.dbusSocket, userId(owner.user), groupId(owner.group ?? owner.user))
}

/** Ends the bus, if there is one, and takes its files away. */
export function stopDbusDaemon(paths: GuestPaths): void {
  const pidFile = fileBeside(paths, '.pid')
  if (existsSync(pidFile)) {
    try {
      const pid = Number(readFileSync(pidFile, 'utf8'))
      if (readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === PROGRAM) process.kill(pid, 'SIGTERM')
    } catch {
      // it is gone already
    }
  }
  for (const left of [pidFile, fileBeside(paths, '.conf'), paths.dbusSocket]) rmSync(left, { force: true })
}
