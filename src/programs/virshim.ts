// virshim: the virsh-like client.
import { runOffline } from '../client/offline.ts'

const [verb, ...rest] = process.argv.slice(2)
const files = rest.filter(word => word !== '--json' && word !== 'qemu-argv')
void runOffline(verb!, files, rest.includes('--json')).then(status => {
  process.exitCode = status
})
