// virshim: the virsh-like client.
import { main } from '../client/main.ts'
import { VERSION } from '../conf/version.ts'

void main(process.argv.slice(2), VERSION).then(status => {
  process.exitCode = status
})
