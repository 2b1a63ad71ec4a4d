// virshimd, also called libvirt_qemu: the shim of one guest.
import { main } from '../server/main.ts'

process.exit(await main(process.argv.slice(2)))
