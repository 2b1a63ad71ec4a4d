// VLANs of a port of the kernel's own bridge, which filters by them (virNetDevBridgeSetupVlans).
import { errorsFrom } from '../../../../conf/error.ts'
import type { Vlan } from '../../../../conf/net/vlan.ts'
import { runHostCommand } from '../../../../host/command.ts'

const fail = errorsFrom('VIR_FROM_NONE')

/** The VLAN that every port is in at first. */
const DEFAULT = 1

/** The kernel's words in what bridge(8) says. */
const KERNEL = /^RTNETLINK answers: (.*)$/m

/** Puts a port that has just come to a bridge into its VLANs. @throws VIR_ERR_SYSTEM_ERROR with the kernel's words */
export async function setVlans(name: string, { trunk, tags, native }: Vlan): Promise<void> {
  const change = (failed: string, verb: 'add' | 'del', vid: number, ...flags: string[]) =>
    runHostCommand('bridge', ['vlan', verb, 'dev', name, 'vid', String(vid), ...flags], said =>
      fail('VIR_ERR_SYSTEM_ERROR', `${failed} interface ${name}: ${KERNEL.exec(said)?.[1] ?? said}`)
    )
  const add = (vid: number, ...flags: string[]) => change('error adding vlan filter to', 'add', vid, ...flags)
  await change('error removing vlan filter from', 'del', DEFAULT)
  if (!trunk) return void (await add(tags[0]!, 'pvid', 'untagged'))
  if (native) await add(native.tag, 'pvid', ...(native.mode === 'untagged' ? ['untagged'] : []))
  for (const tag of tags) if (tag !== native?.tag) await add(tag)
}
