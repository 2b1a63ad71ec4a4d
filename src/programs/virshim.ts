// virshim: the virsh-like client.
import { main } from '../client/main.ts'
import { VERSION } from '../conf/version.ts'

/** A reader such as head may leave before all is said; that is no error of ours. */
process.stdout.on('error', error => {
  if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
  process.exit()
})

void main(process.argv.slice(2), VERSION).then(status => {
  process.exitCode = status
})
