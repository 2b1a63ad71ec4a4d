// The offline verbs: XML in, XML or a QEMU command line out; no daemon is asked.
import { type Commands, option } from '../command.ts'
import { ClientError } from '../failure.ts'

const json = option.bool('one JSON line a file')
const file = option.argv('file holding domain XML, - for standard input', { required: true })

/** Each says what it has to say about every file, so that one bad file does not hide the rest. */
async function offline(verb: string, files: string[], asJson: boolean): Promise<void> {
  const { runOffline } = await import('../offline.ts')
  if ((await runOffline(verb, files, asJson)) !== 0) throw new ClientError()
}

export const native: Commands = {
  'domxml-normalize': {
    help: 'format domain XML with all defaults and addresses filled in',
    description: `Shows the definition as define and dumpxml --inactive would; no daemon is asked.`,
    options: { json, file },
    run: (_session, given) => offline('domxml-normalize', given.all('file'), given.has('json'))
  },
  'domxml-to-native': {
    help: 'convert domain XML to a QEMU command line',
    description: `Shows the arguments that libvirtd would start QEMU with, behind the variables of <qemu:env>; no
daemon is asked.`,
    options: {
      format: option.text('target config data type format: qemu-argv', { required: true }),
      json,
      xml: file
    },
    async run(_session, given) {
      const format = given.text('format')!
      if (format !== 'qemu-argv') throw new ClientError(`unsupported config type ${format}`)
      await offline('domxml-to-native', given.all('xml'), given.has('json'))
    }
  },
  'domxml-validate': {
    help: 'validate domain XML without a daemon',
    description: `Reads domain XML as define --validate does and tells the first fault: an element or attribute
that is not known, a value that libvirt refuses, or what the QEMU it names cannot do. Nothing is
defined or started, and what only a start finds out (files, devices of the host) is not looked at.`,
    options: { json, file },
    run: (_session, given) => offline('domxml-validate', given.all('file'), given.has('json'))
  }
}
