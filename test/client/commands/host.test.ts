// The connection itself.
import { host } from '../../../src/client/commands/host.ts'
import { checkRows } from '../../helper/command-rows.ts'

await checkRows(host, [
  ['uri', {}, [], `qemu:///${process.getuid?.() === 0 ? 'system' : 'session'}\n`],
  [
    'version --daemon',
    {},
    [],
    `Using library: virshim 0.1.0
Using API: QEMU 0.1.0
Running hypervisor: QEMU 7.2.22
Running against daemon: 0.1.0
`
  ]
])
