// All commands, in the groups `help` shows.
import { type Command, type CommandGroup, commandIn } from '../command.ts'
import { attaching } from './attach.ts'
import { blockjobs } from './blockjob.ts'
import { backups, checkpoints } from './checkpoint.ts'
import { consoles } from './console.ts'
import { cpu } from './cpu.ts'
import { definitions } from './define.ts'
import { device } from './device.ts'
import { displays } from './display.ts'
import { event } from './event.ts'
import { guest } from './guest.ts'
import { host } from './host.ts'
import { info } from './info.ts'
import { job, jobs } from './job.ts'
import { lifecycle } from './lifecycle.ts'
import { migration } from './migrate.ts'
import { migrateSettings } from './migrate-settings.ts'
import { monitor } from './monitor.ts'
import { native } from './native.ts'
import { node } from './node.ts'
import { power } from './power.ts'
import { qemu } from './qemu.ts'
import { resize } from './resize.ts'
import { resources } from './resources.ts'
import { saveCommands } from './save.ts'
import { selfCommands } from './self.ts'
import { snapshots } from './snapshot.ts'
import { throttle } from './throttle.ts'
import { tuning } from './tuning.ts'
import { vcpu } from './vcpu.ts'
import { work } from './work.ts'

export const groups: CommandGroup[] = [
  {
    name: 'Domain Management',
    keyword: 'domain',
    commands: {
      ...attaching,
      ...backups,
      ...definitions,
      ...lifecycle,
      ...power,
      ...consoles,
      ...displays,
      ...info,
      ...vcpu,
      ...resize,
      ...tuning,
      ...throttle,
      ...job,
      ...migration,
      ...migrateSettings,
      ...blockjobs,
      ...work,
      ...saveCommands,
      ...guest,
      ...qemu,
      ...native
    }
  },
  { name: 'Domain Monitoring', keyword: 'monitor', commands: { ...monitor, ...device } },
  { name: 'Domain Events', keyword: 'events', commands: event },
  { name: 'Host and Hypervisor', keyword: 'host', commands: { ...host, ...cpu, ...node } },
  { name: 'Checkpoint', keyword: 'checkpoint', commands: checkpoints },
  { name: 'Snapshot', keyword: 'snapshot', commands: snapshots },
  { name: 'virshim itself', keyword: 'virshim', commands: { ...resources, ...jobs, ...selfCommands(() => groups) } }
]

/** A command by its name. */
export const findCommand = (name: string): Command | undefined => commandIn(groups, name)
