// virshimd, also called libvirt_qemu: the shim of one guest.
import { main } from '../server/main.ts'

void main(process.argv.slice(2)).then(status => process.exit(status))
