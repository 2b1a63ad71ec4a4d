// The offline verbs: XML in, XML or a QEMU command line out; no daemon is asked.
import { type Commands, option } from '../command.ts'
import { ClientError } from '../failure.ts'

const json = option.bool('one JSON line a file')
const file = option.argv('file holding domain XML', { required: true })

/** Each says what it has to say about every file, so that one bad file does not hide the rest. */
async function offline(verb: string, files: string[], asJson: boolean): Promise<void> {
  const { runOffline } = await import('../offline.ts')
  if ((await runOffline(verb, files, asJson)) !== 0) throw new ClientError()
}

export const native: Commands = {
  'domxml-normalize': {
    help: 'format domain XML with all defaults and addresses filled in',
    options: { json, file },
    run: (_session, given) => offline('domxml-normalize', given.all('file'), given.has('json'))
  },
  'domxml-to-native': {
    help: 'convert domain XML to a QEMU command line',
    options: {
      format: option.text('target config data type format: qemu-argv', { required: true }),
      json,
      xml: option.argv('file holding domain XML', { required: true })
    },
    async run(_session, given) {
      const format = given.text('format')!
      if (format !== 'qemu-argv') throw new ClientError(`unsupported config type ${format}`)
      await offline('domxml-to-native', given.all('xml'), given.has('json'))
    }
  },
  'domxml-validate': {
    help: 'check domain XML as a start would',
    options: { json, file },
    run: (_session, given) => offline('domxml-validate', given.all('file'), given.has('json'))
  }
}
