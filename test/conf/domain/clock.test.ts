import t from 'tap'
import { checkTimers, clockFields } from '../../../src/conf/domain/clock.ts'
import { parseFields } from '../../../src/conf/element.ts'
import { parseXml } from '../../../src/conf/xml.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

const through = (clock: string, inactive = true) =>
  throughTable(clockFields, `<domain>${clock}</domain>`, { parse: { inactive }, format: { inactive } })

t.test('where the clock starts', async t => {
  for (const [given, expected = given] of [
    ['', "<clock offset='utc'/>"],
    ['<clock/>', "<clock offset='utc'/>"],
    ["<clock offset='localtime' adjustment='reset'/>"],
    ["<clock offset='localtime' adjustment='-7'/>", "<clock offset='variable' adjustment='-7' basis='localtime'/>"],
    ["<clock offset='variable' adjustment='many'/>", "<clock offset='variable' adjustment='0' basis='utc'/>"],
    [
      "<clock offset='variable' adjustment='9' basis='utc' adjustment0='4'/>",
      "<clock offset='variable' adjustment='9' basis='utc'/>"
    ],
    ["<clock offset='timezone' timezone='A&amp;B'/>"],
    ["<clock offset='absolute' start='18446744073709551615'/>"]
  ] as [string, string?][]) {
    t.equal(through(given), `<domain>${expected}</domain>`, given)
  }
  const live = "<clock offset='variable' adjustment='9' basis='utc' adjustment0='4'/>"
  t.equal(through(live, false), `<domain>${live}</domain>`)
})

t.test('timers keep what means something', async t => {
  const timers = [
    "<timer name='tsc' frequency='0' mode='auto'/>",
    "<timer name='rtc' tickpolicy='catchup'><catchup threshold='0' slew='5'/></timer>",
    "<timer name='pit' present='no'><catchup limit='0'/></timer>"
  ]
  t.equal(
    through(`<clock>${timers.join('')}</clock>`),
    "<domain><clock offset='utc'><timer name='tsc' mode='auto'/>" +
      "<timer name='rtc' tickpolicy='catchup'><catchup slew='5'/></timer><timer name='pit' present='no'/></clock></domain>"
  )
})

t.test('refused', async t => {
  const work = (clock: string) => () => {
    const node = parseXml(`<domain><clock ${clock}</clock></domain>`)
    checkTimers(parseFields(node, clockFields, { inactive: true }))
  }
  for (const [clock, error] of [
    ["offset='lunar'>", "unknown clock offset 'lunar'"],
    ["offset='utc' adjustment='x'>", "VIR_ERR_XML_ERROR: XML error: unknown clock adjustment 'x'"],
    ["offset='variable' basis='x'>", "unknown clock basis 'x'"],
    ["offset='timezone'>", "missing 'timezone' attribute"],
    ["offset='absolute' start='-1'>", "missing 'start' attribute"],
    ["><timer name='sundial'/>", "Invalid value for attribute 'name' in element 'timer': 'sundial'."],
    ["><timer name='rtc' frequency='1'/>", "timer rtc doesn't support setting of timer frequency"],
    ["><timer name='pit' mode='auto'/>", "timer pit doesn't support setting of timer mode"],
    ["><timer name='tsc' track='wall'/>", "timer tsc doesn't support setting of timer track"],
    [
      "><timer name='hypervclock' tickpolicy='delay'/>",
      "timer hypervclock doesn't support setting of timer tickpolicy"
    ],
    ["><timer name='rtc'><catchup limit='1'/></timer>", "only supported with tickpolicy='catchup'"]
  ] as const) {
    t.match(await errorOf(work(clock)), error, clock)
  }
})
