// Kernels and ACPI tables on QEMU's command line.
import t from 'tap'
import { argvOf } from '../../../helper/definition.ts'

t.test('kernels', async t => {
  const os =
    '<kernel>/k</kernel><initrd>/i</initrd><cmdline>a b</cmdline><shim>/s</shim><dtb>/d</dtb>' +
    "<acpi><table type='slic'>/slic,1</table><table type='msdm'>/msdm</table><table type='raw'>/raw</table></acpi>"
  const lines = await argvOf('', { os })
  const at = lines.findIndex(line => line.startsWith('-kernel'))
  t.same(lines.slice(at, at + 8), [
    '-kernel /k',
    '-initrd /i',
    '-append a b',
    '-shim /s',
    '-dtb /d',
    '-acpitable sig=SLIC,file=/slic,,1',
    '-acpitable sig=MSDM,file=/msdm',
    '-acpitable file=/raw'
  ])
})
