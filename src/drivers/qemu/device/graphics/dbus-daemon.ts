// A D-Bus of the guest's own, for a D-Bus display that is given no address (qemuDBusStart).
import { rmSync, writeFileSync } from 'node:fs'
import type { GraphicsDef } from '../../../../conf/devices/graphics.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { escapeXml } from '../../../../conf/xml.ts'
import { endHelper, startHelper } from '../../../../host/helper-process.ts'
import { helperLog } from '../../../../state/root.ts'
import type { GuestPaths } from '../../context.ts'
import type { HostGuest } from '../family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const configFile = ({ dbusSocket }: GuestPaths) => dbusSocket.replace(/\.sock$/, '.conf')

/** Address of the guest's own bus, for QEMU. */
export const ownBusAddress = ({ dbusSocket }: GuestPaths): string => `unix:path=${dbusSocket}`

/** Anyone may connect who can reach the socket, and do anything. */
const configuration = (paths: GuestPaths) => `<busconfig>
  <type>org.libvirt.qemu</type>
  <listen>${escapeXml(ownBusAddress(paths))}</listen>
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
 * Starts the bus if a display needs it.
 * @throws VIR_ERR_OPERATION_FAILED with what it said, VIR_ERR_OPERATION_TIMEOUT
 */
export async function startDbusDaemon(dev: GraphicsDef, guest: HostGuest): Promise<void> {
  const { context, root, owner } = guest
  const { paths } = context
  if (dev.type !== 'dbus' || dev.address !== ownBusAddress(paths)) return
  writeFileSync(configFile(paths), configuration(paths), { mode: 0o600 })
  await startHelper({
    command: 'dbus-daemon',
    args: ['--nofork', `--config-file=${configFile(paths)}`],
    socket: paths.dbusSocket,
    log: helperLog(root, 'dbus-daemon'),
    logMode: 'w',
    owner,
    failure: words =>
      words === undefined
        ? fail('VIR_ERR_OPERATION_TIMEOUT', "DBus daemon dbus-daemon didn't show up")
        : fail('VIR_ERR_OPERATION_FAILED', `dbus-daemon died and reported: ${words}`)
  })
}

/** Ends the bus, if there is one, and takes its files away. */
export async function stopDbusDaemon(dev: GraphicsDef, { context: { paths } }: HostGuest): Promise<void> {
  if (dev.type !== 'dbus') return
  await endHelper(paths.dbusSocket)
  rmSync(configFile(paths), { force: true })
}
