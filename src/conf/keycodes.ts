// Key codes between code sets, as virKeycodeValueTranslate does.
import { virKeycodeSet } from './enums.ts'
import { KEYCODE_TABLE } from './keycode-table.ts'

/** Code sets by number, as virsh names them. Source: virKeycodeSetTypeToString. */
export const KEYCODE_SETS = ['linux', 'xt', 'atset1', 'atset2', 'atset3', 'os_x', 'xt_kbd', 'usb', 'win32', 'qnum']

/** Column of each code set in the table; XT is another name of AT set 1. */
const COLUMNS: Record<number, number> = {
  [virKeycodeSet.VIR_KEYCODE_SET_LINUX]: 0,
  [virKeycodeSet.VIR_KEYCODE_SET_XT]: 1,
  [virKeycodeSet.VIR_KEYCODE_SET_ATSET1]: 1,
  [virKeycodeSet.VIR_KEYCODE_SET_ATSET2]: 2,
  [virKeycodeSet.VIR_KEYCODE_SET_ATSET3]: 3,
  [virKeycodeSet.VIR_KEYCODE_SET_OSX]: 4,
  [virKeycodeSet.VIR_KEYCODE_SET_XT_KBD]: 5,
  [virKeycodeSet.VIR_KEYCODE_SET_USB]: 6,
  [virKeycodeSet.VIR_KEYCODE_SET_WIN32]: 7,
  [virKeycodeSet.VIR_KEYCODE_SET_QNUM]: 8
}

const { VIR_KEYCODE_SET_OSX: OSX, VIR_KEYCODE_SET_QNUM: QNUM } = virKeycodeSet
/** Code of the keys that a set does not have, as libvirt's tables have it; 0 is a key of OS X. */
const NO_KEY = 0
const NO_OSX_KEY = 0xff

const ROWS = KEYCODE_TABLE.trim()
  .split('\n')
  .map(line => {
    const [name, ...codes] = line.split(' ') as [string, ...string[]]
    return { name, codes: codes.map(code => (code === '-' ? undefined : Number(code))) }
  })

/**
 * The QEMU number of a key, undefined when the code set has no such key; QEMU's own numbers are not looked up. A key
 * that QEMU lacks is number 0. Source: virKeycodeValueTranslate, qemuDomainSendKey.
 */
export function toQnum(codeset: number, code: number): number | undefined {
  if (codeset === QNUM) return code
  const column = COLUMNS[codeset]
  if (column === undefined) return undefined
  const none = codeset === OSX ? NO_OSX_KEY : NO_KEY
  const row = ROWS.find(({ codes }) => (codes[column] ?? none) === code)
  return row && (row.codes[COLUMNS[QNUM]!] ?? NO_KEY)
}

/** The Linux code of a key name (`KEY_ENTER`), undefined for an unknown one. */
export function linuxKeycode(name: string): number | undefined {
  // keys without a name are found by none
  return name === '' ? undefined : ROWS.find(row => row.name === name)?.codes[0]
}
