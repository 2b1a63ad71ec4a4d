// virshim: the virsh-like client.
import { runOffline } from '../client/offline.ts'

const [verb, ...rest] = process.argv.slice(2)
const files = rest.filter(word => word !== '--json' && word !== 'qemu-argv')
process.exitCode = await runOffline(verb!, files, rest.includes('--json'))
