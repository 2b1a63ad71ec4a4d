// Keys and screenshots; the console itself needs a terminal (test/client/interactive.test.ts).
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { consoles } from '../../../src/client/commands/console.ts'
import { BOOM, checkRows, dir } from '../../helper/command-rows.ts'
import { Body } from '../../helper/stand-in-api.ts'

const shot = join(dir, 'shot')

await checkRows(consoles, [
  ['console off', {}, [], '', ['The domain is not running']],
  ['console tiny', {}, [], '', ['Cannot run interactive console without a controlling TTY']],

  ['inject-nmi tiny', { virDomainInjectNMI: {} }, ['virDomainInjectNMI {}'], ''],
  ['inject-nmi tiny', { virDomainInjectNMI: BOOM }, ['virDomainInjectNMI {}'], '', ['it went wrong']],
  [
    'send-key tiny KEY_A 0x1e 036 65535',
    { virDomainSendKey: {} },
    ['virDomainSendKey {"codeset":0,"holdtime":0,"keycodes":[30,30,30,65535]}'],
    ''
  ],
  [
    'send-key tiny --codeset rfb --holdtime 7 1',
    { virDomainSendKey: {} },
    ['virDomainSendKey {"codeset":9,"holdtime":7,"keycodes":[1]}'],
    ''
  ],
  ['send-key tiny 65536', {}, [], '', ["invalid keycode: '65536'"]],
  ['send-key tiny KEY_A -1', {}, [], '', ["invalid keycode: '-1'"]],
  ['send-key tiny --codeset usb KEY_A', {}, [], '', ["invalid keycode: 'KEY_A'"]],
  ['send-key tiny --codeset LINUX 1', {}, [], '', ["unknown codeset: 'LINUX'"]],
  ['send-key tiny --codeset nosuch 1', {}, [], '', ["unknown codeset: 'nosuch'"]],
  [`send-key tiny ${'1 '.repeat(17)}`, {}, [], '', ['too many keycodes']],
  [
    'send-key tiny --holdtime -1 1',
    {},
    [],
    '',
    ["Numeric value '-1' for <holdtime> option is malformed or out of range"]
  ],
  [
    `screenshot tiny ${shot} 2`,
    { virDomainScreenshot: new Body('image/png', Buffer.from([0, 255, 10])) },
    ['virDomainScreenshot {"screen":2}'],
    `Screenshot saved to ${shot}, with type of image/png`
  ],
  [
    'screenshot tiny',
    { virDomainScreenshot: BOOM },
    ['virDomainScreenshot {}'],
    '',
    ['could not take a screenshot of tiny', 'it went wrong']
  ],
  [
    'screenshot tiny /nosuch/shot',
    { virDomainScreenshot: new Body('image/png', Buffer.from([])) },
    ['virDomainScreenshot {}'],
    '',
    ['cannot create file /nosuch/shot', "ENOENT: no such file or directory, open '/nosuch/shot'"]
  ]
])

t.test('the screenshot is what was answered, byte by byte', async t => {
  t.same(readFileSync(shot), Buffer.from([0, 255, 10]))
})
