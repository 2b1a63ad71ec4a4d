// Commands about the connection itself.
import { type Commands, option } from '../command.ts'
import { ClientError } from '../failure.ts'

export const host: Commands = {
  uri: {
    help: 'print the hypervisor canonical URI',
    options: {},
    async run(session) {
      session.print(`qemu:///${process.getuid?.() === 0 ? 'system' : 'session'}\n`)
    }
  },
  version: {
    help: 'show version',
    options: { daemon: option.bool('report daemon version too') },
    async run(session, given) {
      const running = (await session.guests()).find(({ report }) => report.versions.qemu !== undefined)
      if (!running) throw new ClientError('failed to get the hypervisor version', 'no guest of this connection runs')
      const { virshim, qemu } = running.report.versions
      session.print(`Using library: virshim ${virshim}\nUsing API: QEMU ${virshim}\nRunning hypervisor: QEMU ${qemu}\n`)
      if (given.has('daemon')) session.print(`Running against daemon: ${virshim}\n`)
    }
  }
}
