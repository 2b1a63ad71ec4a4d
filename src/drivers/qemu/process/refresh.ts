// Exchange with a QEMU whose monitor was just opened: facts only a running one has, settings only a running one takes.
import type { ChardevDef } from '../../../conf/devices/chardev.ts'
import { formatCpu } from '../../../conf/domain/cpu.ts'
import { virConnectDomainEventAgentLifecycleReason } from '../../../conf/enums.ts'
import { formatXml } from '../../../conf/xml.ts'
import { verifyGuestCpu } from '../cpu/live.ts'
import { updateDevices } from '../device/index.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { QmpEvent } from '../monitor/qmp.ts'
import { agentChannel, closeAgent, connectAgent, portChanged } from './agent-port.ts'
import { startBalloon } from './balloon.ts'
import { tellRebootAction } from './lifecycle-action.ts'
import { refreshTrays } from './trays.ts'
import { plugVcpus } from './vcpu-plug.ts'
import type { QmpVcpu } from './vcpus.ts'

/** A chardev's name that says which end of a pty is the host's. */
const PTY = /^pty:\/dev\/pts\/\d+$/

interface QmpChardev {
  label: string
  filename: string
  'frontend-open': boolean
}

/**
 * Brings the guest and its QEMU in step after a start and after a reattach: plugs vCPUs, sets the balloon, links, reboot
 * action and polling of statistics; takes over vCPU threads, ptys, the CPU, trays and states of channels. Commands that do not
 * depend on each other are under way together (qemuProcessLaunch behind its monitor, qemuProcessRefreshState).
 */
export async function refreshDomain(domain: QemuDomain): Promise<void> {
  const { qmp, def } = domain
  const isStarting = domain.phase === 'starting'
  if (isStarting) await plugVcpus(def, qmp)
  // ports that the guest opens and closes before all is told: their events find no agent yet
  const heard = new Map<string, boolean>()
  const listen = ({ event, data }: QmpEvent) => {
    if (event === 'VSERPORT_CHANGE') heard.set(`char${data.id}`, data.open === true)
  }
  qmp.on('event', listen)
  // a QEMU that was just started resets
  const isTold = isStarting && def.onReboot === 'restart'
  const onReboot = isTold ? undefined : tellRebootAction(qmp, def.onReboot)
  const vcpus = qmp.execute<QmpVcpu[]>('query-cpus-fast')
  const [cpus, chardevs] = await Promise.all([
    vcpus,
    qmp.execute<QmpChardev[]>('query-chardev'),
    onReboot,
    verifyCpu(domain, vcpus),
    isStarting && startBalloon(domain),
    refreshTrays(domain),
    ...setCables(domain),
    // QEMU keeps how often it asks
    ...(isStarting ? updateDevices('memballoons', def, qmp) : []).map(done =>
      done.catch(error => domain.log.warn({ err: error }, 'no balloon statistics'))
    )
  ]).finally(() => qmp.off('event', listen))
  const { running } = domain
  running.vcpuThreads = new Map(cpus.map(cpu => [cpu['cpu-index'], cpu['thread-id']]))
  running.ptys = new Map(
    chardevs
      .filter(({ filename }) => PTY.test(filename))
      .map(({ label, filename }) => [label.replace(/^char/, ''), filename.slice(4)])
  )
  fillPtyPaths(domain)
  const frontendOpen = (label: string) =>
    heard.get(label) ?? chardevs.find(chardev => chardev.label === label)?.['frontend-open']
  connectAgent(domain, label => frontendOpen(label) ?? false)
  fillChannelStates(domain, frontendOpen)
}

/** Pulls the cables that are out; those of a QEMU taken over may be either, as its shim was about to change them. */
function setCables(domain: QemuDomain): Promise<unknown>[] {
  const { def, qmp, log } = domain
  if (domain.phase === 'starting') return updateDevices('interfaces', def, qmp)
  return def.devices.interfaces
    .filter(({ type }) => type !== 'hostdev')
    .map(({ alias: name, link }) =>
      qmp
        .execute('set_link', { name, up: link !== 'down' })
        .catch(error => log.warn({ err: error, device: name }, 'the state of a cable is not known'))
    )
}

/** Takes the CPU QEMU made into the definition, and keeps the one it was asked for. */
async function verifyCpu(domain: QemuDomain, vcpus: Promise<QmpVcpu[]>): Promise<void> {
  const { qmp, def } = domain
  const asked = def.cpu && formatXml(formatCpu(def.cpu))
  await verifyGuestCpu(def, qmp, vcpus)
  if (def.cpu && formatXml(formatCpu(def.cpu)) !== asked) domain.running.originalCpu ??= asked
}

/**
 * Takes over what QEMU has made of a character device that was plugged in: its pty, the state of its port. The agent's
 * channel can be used from now on. Other devices have nothing of it.
 */
export async function refreshChardev(domain: QemuDomain, alias: string | undefined): Promise<void> {
  const redirected = domain.def.devices.redirdevs.filter(({ source }) => source.type === 'pty')
  const dev = [...chardevsOf(domain), ...redirected].find(one => one.alias === alias)
  if (alias === undefined || !dev) return
  const chardevs = await domain.qmp.execute<QmpChardev[]>('query-chardev')
  const found = chardevs.find(({ label }) => label === `char${alias}`)
  if (!found) return
  if (PTY.test(found.filename)) domain.running.ptys.set(alias, found.filename.slice(4))
  fillPtyPaths(domain, [dev])
  const open = found['frontend-open']
  const channel = domain.def.devices.channels.find(one => one.alias === alias)
  if (channel?.target.type !== 'virtio') return
  if (open) channel.target.state = 'connected'
  if (channel === agentChannel(domain)) connectAgent(domain, () => open)
}

/** Forgets what was known of a character device that is gone. */
export function forgetChardev(domain: QemuDomain, alias: string | undefined): void {
  if (alias === undefined || !domain.run) return
  domain.run.ptys.delete(alias)
  domain.run.consoles.get(alias)?.end('the device was unplugged')
  if (!agentChannel(domain)) closeAgent(domain)
}

/** Puts the host's pty names into the live definition, as libvirt shows them. */
function fillPtyPaths(domain: QemuDomain, chardevs: Pick<ChardevDef, 'alias' | 'source'>[] = chardevsOf(domain)): void {
  for (const chardev of chardevs) {
    const path = chardev.alias && domain.running.ptys.get(chardev.alias)
    if (path && chardev.source.type === 'pty') chardev.source.path = path
  }
}

function chardevsOf({ def }: QemuDomain): ChardevDef[] {
  const { serials, parallels, consoles, channels } = def.devices
  return [...serials, ...parallels, ...consoles, ...channels]
}

/** Fills in the states of virtio ports, by the guest's listening on them (qemuProcessRefreshChannelVirtioState). */
function fillChannelStates(domain: QemuDomain, frontendOpen: (label: string) => boolean | undefined): void {
  const REASON = virConnectDomainEventAgentLifecycleReason
  const reason =
    domain.phase === 'starting'
      ? REASON.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_DOMAIN_STARTED
      : REASON.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_CHANNEL
  for (const { alias = '' } of domain.def.devices.channels) {
    const open = frontendOpen(`char${alias}`)
    if (open !== undefined) portChanged(domain, alias, open, reason)
  }
}
