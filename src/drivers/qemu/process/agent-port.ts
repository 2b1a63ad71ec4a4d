// The guest agent's channel: known open, connected to, closed.
import type { ChardevDef } from '../../../conf/devices/chardev.ts'
import { virConnectDomainEventAgentLifecycleState } from '../../../conf/enums.ts'
import { Agent } from '../agent/channel.ts'
import type { QemuDomain } from '../domain/domain.ts'

const AGENT_CHANNEL = 'org.qemu.guest_agent.0'

/** The guest agent's channel of a definition, if it has one. */
export function agentChannel(domain: QemuDomain): ChardevDef | undefined {
  return domain.def.devices.channels.find(
    channel => channel.target?.name === AGENT_CHANNEL && channel.source.type === 'unix'
  )
}

/**
 * Notes that the guest has opened or closed its end of a virtio port, and tells of it; the agent's has an event more
 * (processSerialChangedEvent, qemuProcessRefreshChannelVirtioState).
 * @param reason virConnectDomainEventAgentLifecycleReason
 */
export function portChanged(domain: QemuDomain, alias: string, open: boolean, reason: number, timeUs?: number): void {
  const channel = domain.def.devices.channels.find(one => one.alias === alias)
  if (channel?.target.type !== 'virtio') return
  channel.target.state = open ? 'connected' : 'disconnected'
  const STATE = virConnectDomainEventAgentLifecycleState
  const state = open
    ? STATE.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED
    : STATE.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED
  const { name: channelName = '' } = channel.target
  domain.events.emit('VIR_DOMAIN_EVENT_ID_CHANNEL_LIFECYCLE', { channelName, state, reason }, timeUs)
  if (channelName !== AGENT_CHANNEL) return
  if (domain.agent) {
    domain.agent.connected = open
    if (!open) domain.agent.close()
  }
  domain.events.emit('VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE', { state, reason }, timeUs)
}

/** Makes the agent's channel usable; nothing is sent before the first agent command. */
export function connectAgent(domain: QemuDomain, frontendOpen: (label: string) => boolean): void {
  const channel = agentChannel(domain)
  if (channel?.source.type !== 'unix' || channel.source.path === undefined) return
  const agent = new Agent(channel.source.path, () => domain.agentTimeout)
  domain.running.agent = agent
  agent.connected = frontendOpen(`char${channel.alias}`)
}

/** Ends the connection to the agent; commands under way fail. */
export function closeAgent({ run }: QemuDomain): void {
  run?.agent?.close()
  if (run) run.agent = undefined
}
