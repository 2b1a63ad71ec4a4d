// All commands, in the groups `help` shows.
import type { Command, Commands } from '../command.ts'
import { consoles } from './console.ts'
import { cpu } from './cpu.ts'
import { device } from './device.ts'
import { event } from './event.ts'
import { host } from './host.ts'
import { info } from './info.ts'
import { lifecycle } from './lifecycle.ts'
import { monitor } from './monitor.ts'
import { native } from './native.ts'
import { node } from './node.ts'
import { qemu } from './qemu.ts'
import { resources } from './resources.ts'
import { self } from './self.ts'
import { vcpu } from './vcpu.ts'

export const groups: { name: string; keyword: string; commands: Commands }[] = [
  {
    name: 'Domain Management',
    keyword: 'domain',
    commands: { ...lifecycle, ...consoles, ...info, ...vcpu, ...qemu, ...native }
  },
  { name: 'Domain Monitoring', keyword: 'monitor', commands: { ...monitor, ...device } },
  { name: 'Domain Events', keyword: 'events', commands: event },
  { name: 'Host and Hypervisor', keyword: 'host', commands: { ...host, ...cpu, ...node } },
  { name: 'virshim itself', keyword: 'virshim', commands: { ...resources, ...self } }
]

/** A command by its name. */
export function findCommand(name: string): Command | undefined {
  const group = groups.find(({ commands }) => Object.hasOwn(commands, name))
  return group?.commands[name]
}
