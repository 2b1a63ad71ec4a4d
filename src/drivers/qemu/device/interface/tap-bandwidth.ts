// Bandwidth of a guest's network device, by the kernel's traffic control (virNetDevBandwidthSet).

import { errorsFrom } from '../../../../conf/error.ts'
import type { Bandwidth, BandwidthRate } from '../../../../conf/net/bandwidth.ts'
import { runHostCommand, succeeds } from '../../../../host/command.ts'

const fail = errorsFrom('VIR_FROM_NONE')

/** Bytes of an Ethernet frame's payload: a class should send at least one before the next has its turn. */
const MTU = 1500n
/** tc keeps the burst in bytes in a C unsigned int. */
const MAX_BURST_KIB = (2n ** 32n - 1n) / 1024n

/** @throws VIR_ERR_INTERNAL_ERROR as libvirt tells of a program (virCommandRun) */
const tc = (args: string[]) =>
  runHostCommand('tc', args, (said, how) =>
    fail('VIR_ERR_INTERNAL_ERROR', `Child process (tc ${args.join(' ')}) unexpected ${how}: ${said}\n`)
  )

/**
 * Limits what passes a device.
 * @param sharesHostView the device sends what the guest sends (macvtap); a tap device receives that
 */
export async function setBandwidth(device: string, bandwidth: Bandwidth, sharesHostView: boolean): Promise<void> {
  const { inbound, outbound } = bandwidth
  const [sent, received] = sharesHostView ? [outbound, inbound] : [inbound, outbound]
  for (const args of [...shape(device, sent), ...police(device, received)]) await tc(args)
}

/** Takes the limits of a device away, as far as it has any. */
async function clearBandwidth(device: string): Promise<void> {
  for (const queue of ['root', 'ingress'])
    await runHostCommand('tc', ['qdisc', 'del', 'dev', device, queue]).catch(() => undefined)
}

/**
 * Limits what passes a device in place of what limited it before, or with undefined no longer.
 * @throws VIR_ERR_INTERNAL_ERROR with the words of tc(8); the former limits are in force again then
 */
export async function replaceBandwidth(
  device: string,
  { before, after }: { before: Bandwidth | undefined; after: Bandwidth | undefined },
  sharesHostView: boolean
): Promise<void> {
  const put = async (bandwidth: Bandwidth = {}) => {
    await clearBandwidth(device)
    await setBandwidth(device, bandwidth, sharesHostView)
    const sent = sharesHostView ? bandwidth.outbound : bandwidth.inbound
    if (sent?.average) return
    // as a device has it that was never limited (qemuDomainInterfaceSetDefaultQDisc)
    await succeeds('tc', ['qdisc', 'add', 'dev', device, 'root', 'handle', '0:', 'noqueue'])
  }
  try {
    await put(after)
  } catch (error) {
    await put(before).catch(() => undefined)
    throw error
  }
}

/** Queues all that the device sends in one class with a rate. */
function shape(device: string, rate: BandwidthRate | undefined): string[][] {
  if (!rate?.average) return []
  const quantum = (rate.average * 1024n) / 8n / MTU
  const limits = [
    ...(rate.peak ? ['ceil', `${rate.peak}kbps`] : []),
    ...(rate.burst ? ['burst', `${rate.burst}kb`] : []),
    'quantum',
    `${quantum || 1n}`
  ]
  const on = ['dev', device]
  return [
    ['qdisc', 'add', ...on, 'root', 'handle', '1:', 'htb', 'default', '1'],
    ['class', 'add', ...on, 'parent', '1:', 'classid', '1:1', 'htb', 'rate', `${rate.average}kbps`, ...limits],
    ['qdisc', 'add', ...on, 'parent', '1:1', 'handle', '2:', 'sfq', 'perturb', '10'],
    ['filter', 'add', ...on, 'parent', '1:0', 'protocol', 'all', 'prio', '1', 'handle', '1', 'fw', 'flowid', '1']
  ]
}

/** Drops all that the device receives beyond the rate. */
function police(device: string, rate: BandwidthRate | undefined): string[][] {
  if (!rate) return []
  const burst = rate.burst || (rate.average < MAX_BURST_KIB ? rate.average : MAX_BURST_KIB)
  const match = ['protocol', 'all', 'u32', 'match', 'u32', '0', '0']
  const limit = ['police', 'rate', `${rate.average}kbps`, 'burst', `${burst}kb`, 'mtu', '64kb', 'drop', 'flowid', ':1']
  return [
    ['qdisc', 'add', 'dev', device, 'ingress'],
    ['filter', 'add', 'dev', device, 'parent', 'ffff:', ...match, ...limit]
  ]
}
