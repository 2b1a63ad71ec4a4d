import t from 'tap'
import type { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import { checkSafe } from '../../../../src/drivers/qemu/migration/allowed.ts'
import { define, fakeQemu } from '../../../helper/definition.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'

const LOCAL = 'VIR_ERR_MIGRATE_UNSAFE VIR_FROM_QEMU: Unsafe migration: Migration without shared storage is unsafe'
const CACHED =
  'VIR_ERR_MIGRATE_UNSAFE VIR_FROM_QEMU: Unsafe migration: ' +
  'Migration may lead to data corruption if disks use cache other than none or directsync'

const file = "<source file='/var/tmp/a.img'/>"
const block = "<source dev='/dev/loop0'/>"
const network = "<source protocol='nbd' name='a'><host name='h'/></source>"
const cached = (mode: string) => `<driver name='qemu' cache='${mode}'/>`

// what is in the disk; the answer with a QEMU that drops its host's caches, and with one that does not
const CASES: [type: string, inner: string, answer: string, older?: string, device?: string][] = [
  ['file', file, LOCAL],
  ['file', `${cached('none')}${file}`, LOCAL],
  ['file', `${file}<readonly/>`, ''],
  ['file', '', '', '', 'cdrom'],
  ['block', block, '', CACHED],
  ['block', `${cached('writeback')}${block}`, '', CACHED],
  ['block', `${cached('writethrough')}${block}`, '', CACHED],
  ['block', `${cached('unsafe')}${block}`, '', CACHED],
  ['block', `${cached('none')}${block}`, ''],
  ['block', `${cached('directsync')}${block}`, ''],
  ['block', `${cached('none')}${block}<shareable/>`, ''],
  ['network', `${cached('writeback')}${network}`, '']
]

t.test('disks that stay where they are', async t => {
  for (const [type, inner, answer, older = answer, device = 'disk'] of CASES) {
    const target = device === 'disk' ? 'vda' : 'sda'
    const bus = device === 'disk' ? 'virtio' : 'sata'
    const def = await define(
      `<disk type='${type}' device='${device}'>${inner}<target dev='${target}' bus='${bus}'/></disk>`
    )
    const failure = (qemu = fakeQemu(), isCopied = false) =>
      failureOf(() => checkSafe({ def, context: { qemu } } as QemuDomain, () => isCopied))
    t.equal(await failure(), answer, `${type} ${inner}`)
    t.equal(await failure(fakeQemu(['migration-file-drop-cache'])), older, `${type} ${inner}, an older QEMU`)
    t.equal(await failure(fakeQemu(), true), '', 'it is copied')
  }
})
