import t from 'tap'
import { eventFields } from '../../../src/conf/domain/events.ts'
import { keywrapFields } from '../../../src/conf/domain/keywrap.ts'
import { launchSecurityFields } from '../../../src/conf/domain/launch-security.ts'
import { perfFields } from '../../../src/conf/domain/perf.ts'
import { pmFields } from '../../../src/conf/domain/pm.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

const fields = { ...eventFields, ...pmFields, ...perfFields, ...keywrapFields, ...launchSecurityFields }
const DEFAULTS = '<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>'
const through = (inner: string) => throughTable(fields, `<domain>${inner}</domain>`)

t.test('small elements, read and written', async t => {
  for (const [given, expected = given] of [
    ['<on_crash/><on_lockfailure>default</on_lockfailure><pm/><perf/><keywrap/>', ''],
    ['<on_lockfailure>ignore</on_lockfailure>'],
    ["<pm><suspend-to-disk enabled='no'/><suspend-to-mem/></pm>", "<pm><suspend-to-disk enabled='no'/></pm>"],
    [
      "<perf><event name='page_faults' enabled='yes'/><event name='cmt' enabled='no'/></perf>",
      "<perf><event name='cmt' enabled='no'/><event name='page_faults' enabled='yes'/></perf>"
    ],
    ["<keywrap><cipher name='dea' state='on'/></keywrap>"],
    [
      "<launchSecurity type='sev'><policy>1</policy><cbitpos>47</cbitpos></launchSecurity>",
      "<launchSecurity type='sev'><cbitpos>47</cbitpos><policy>0x0001</policy></launchSecurity>"
    ],
    ["<launchSecurity type='s390-pv'/>"]
  ] as [string, string?][]) {
    t.equal(through(given), `<domain>${DEFAULTS}${expected}</domain>`, given)
  }
})

t.test('refused', async t => {
  for (const [inner, error] of [
    [
      '<on_crash>explode</on_crash>',
      'VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown on_crash action: explode'
    ],
    ["<perf><event name='cmt' enabled='no'/><event name='cmt' enabled='no'/></perf>", "'cmt' was already specified"],
    [
      "<keywrap><cipher name='aes' state='on'/><cipher name='aes' state='on'/></keywrap>",
      'no more than one cipher node with name aes'
    ],
    ["<launchSecurity type='sev'/>", 'failed to get launch security policy'],
    [
      "<launchSecurity type='sev'><policy>1</policy><cbitpos>x</cbitpos></launchSecurity>",
      'Invalid format for launch security cbitpos'
    ],
    ["<launchSecurity type='txt'/>", "Invalid value for attribute 'type' in element 'launchSecurity': 'txt'."]
  ] as const) {
    t.match(await errorOf(() => through(inner)), error, inner)
  }
})
