// `virshim migrate`: what source and destination are asked, phase by phase, and whose error is told.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { migration } from '../../../src/client/commands/migrate.ts'
import { api, checkRows, dir, type Row } from '../../helper/command-rows.ts'
import { type Answers, Refused } from '../../helper/stand-in-api.ts'

const to = api.socket
const file = join(dir, 'x.xml')
writeFileSync(file, '<domain/>')

const QEMU = 10
const refused = (message: string, code: number, domain = QEMU) => new Refused(message, code, domain)
const FINISH_OK = refused('migration successfully aborted', 93)

const RUNNING = { virDomainGetState: { state: 1, reason: 1 } }
/** Every phase succeeds. */
const PHASES: Answers = {
  ...RUNNING,
  virDomainMigrateBegin3Params: { cookie_out: 'YQ==', xml: '<domain/>' },
  virDomainMigratePrepare3Params: { cookie_out: 'Yg==', uri_out: 'tcp:host-b:49152' },
  virDomainMigratePerform3Params: { cookie_out: 'Yw==' },
  virDomainMigrateFinish3Params: { cookie_out: 'ZA==', dom: { name: 'tiny' } },
  virDomainMigrateConfirm3Params: {}
}

interface Asked {
  flags: number
  there?: number
  params?: string
}

const cookieIn = (cookie: string | undefined) => (cookie === undefined ? '' : `"cookie_in":${cookie},`)
const BEGIN = ({ flags, params = '' }: Asked) =>
  `virDomainMigrateBegin3Params {"params":{${params}},"flags":${flags | 256}}`
const withXml = (params: string, ...more: string[]) =>
  `"params":{${[params, '"destination_xml":"<domain/>"', ...more].filter(Boolean).join(',')}}`
const URI = '"migrate_uri":"tcp:host-b:49152"'
const PREPARE = ({ flags, there = flags, params = '' }: Asked) =>
  `virDomainMigratePrepare3Params {${withXml(params)},"cookie_in":"YQ==","flags":${there}}`
const PERFORM = ({ flags, params = '' }: Asked) =>
  `virDomainMigratePerform3Params {${withXml(params, URI)},"cookie_in":"Yg==","flags":${flags | 256}}`
const FINISH = ({ flags, there = flags, params = '' }: Asked, cookie: string | undefined, cancelled: number) =>
  `virDomainMigrateFinish3Params {"params":{"destination_name":"tiny",${[params, '"destination_xml":"<domain/>"', URI]
    .filter(Boolean)
    .join(',')}},${cookieIn(cookie)}"flags":${there},"cancelled":${cancelled}}`
const CONFIRM = ({ flags, params = '' }: Asked, cookie: string | undefined, cancelled: number, ...uri: string[]) =>
  `virDomainMigrateConfirm3Params {${withXml(params, ...uri)},${cookieIn(cookie)}"flags":${flags | 256},"cancelled":${cancelled}}`
const STATE = 'virDomainGetState {}'

const all = (asked: Asked) => [
  BEGIN(asked),
  STATE,
  PREPARE(asked),
  PERFORM(asked),
  FINISH(asked, '"Yw=="', 0),
  CONFIRM(asked, '"ZA=="', 0, URI)
]
const WARNING = {
  side: 'source',
  severity: 'warning',
  about: 'hooks',
  code: 1,
  codeName: 'VIR_ERR_INTERNAL_ERROR',
  domain: 10,
  domainName: 'VIR_FROM_QEMU',
  message: 'it may'
}
/** What both sides find. */
const CHECKED = (here: object[] = [], there: object[] = []): Answers => ({
  ...RUNNING,
  virDomainQemuMigrateCheckBegin: { findings: here, xml: '<domain/>', cookie_out: 'YQ==' },
  virDomainQemuMigrateCheckPrepare: { findings: there }
})
const CHECKS = (flags: number, there = flags, ...more: string[]) => [
  STATE,
  `virDomainQemuMigrateCheckBegin {"params":{},"flags":${[flags, ...more].join(',')}}`,
  `virDomainQemuMigrateCheckPrepare {${withXml('')},"cookie_in":"YQ==","flags":${there}}`
]
const live = { flags: 1 }
const managed = `migrate tiny ${to} --live`
const peer = 'migrate tiny qemu+unix:///system?socket=/x --live --p2p'
const toUri = (params: string, flags: number) => [
  `virDomainMigrateToURI3 {"dconnuri":"qemu+unix:///system?socket=/x","params":{${params}},"flags":${flags}}`
]
const DONE = { virDomainMigrateToURI3: {} }
/** Nothing is asked: the options do not go together. */
const wrong = (line: string, ...errors: string[]): Row => [line, {}, [], '', errors]
const NEEDS_COPY = "requires one of '--copy-storage-all', '--copy-storage-inc'"

await checkRows(migration, [
  [managed, PHASES, all(live), ''],
  [`${managed} --verbose`, PHASES, all(live), 'Migration: [100.00 %]\n'],
  [`${managed} --change-protection`, PHASES, all(live), ''],
  [`${managed} --abort-on-error --auto-converge`, PHASES, all({ flags: 1 + 4096 + 8192, there: 1 }), ''],
  [`${managed} --bandwidth 7`, PHASES, all({ ...live, params: '"bandwidth":7' }), ''],
  // one that is paused arrives so
  [
    managed,
    { ...PHASES, virDomainGetState: { state: 3, reason: 1 } },
    [BEGIN(live), ...all({ flags: 33 }).slice(1)],
    ''
  ],
  [
    `migrate tiny ${to} --offline --persistent`,
    PHASES,
    [
      BEGIN({ flags: 1032 }),
      STATE,
      PREPARE({ flags: 1032 }),
      FINISH({ flags: 1032 }, undefined, 0),
      CONFIRM({ flags: 1032 }, '"ZA=="', 0, URI)
    ],
    ''
  ],
  // each phase fails
  [managed, { ...PHASES, virDomainMigrateBegin3Params: refused('no begin', 55) }, [BEGIN(live)], '', ['no begin']],
  [
    managed,
    { ...PHASES, virDomainMigratePrepare3Params: refused('no prepare', 1) },
    [BEGIN(live), STATE, PREPARE(live), CONFIRM(live, undefined, 1)],
    '',
    ['no prepare']
  ],
  [
    managed,
    {
      ...PHASES,
      virDomainMigratePrepare3Params: { cookie_out: '', uri_out: null },
      virDomainMigrateFinish3Params: FINISH_OK
    },
    [BEGIN(live), STATE, PREPARE(live), FINISH(live, '""', 1).replace(`,${URI}`, ''), CONFIRM(live, undefined, 1)],
    '',
    ['internal error: domainMigratePrepare3 did not set uri']
  ],
  [
    managed,
    {
      ...PHASES,
      virDomainMigratePerform3Params: refused('operation failed: here', 9),
      virDomainMigrateFinish3Params: FINISH_OK
    },
    [BEGIN(live), STATE, PREPARE(live), PERFORM(live), FINISH(live, undefined, 1)],
    '',
    ['operation failed: here']
  ],
  [
    managed,
    {
      ...PHASES,
      virDomainMigratePerform3Params: refused('operation failed: here', 9),
      virDomainMigrateFinish3Params: refused('operation failed: there', 9)
    },
    [BEGIN(live), STATE, PREPARE(live), PERFORM(live), FINISH(live, undefined, 1)],
    '',
    [
      'operation failed: migration failed. Message from the source host: operation failed: here. Message from the destination host: operation failed: there'
    ]
  ],
  [
    managed,
    {
      ...PHASES,
      virDomainMigratePerform3Params: refused('operation aborted: by us', 78),
      virDomainMigrateFinish3Params: refused('operation failed: there', 9)
    },
    [BEGIN(live), STATE, PREPARE(live), PERFORM(live), FINISH(live, undefined, 1)],
    '',
    ['operation aborted: by us']
  ],
  [
    managed,
    { ...PHASES, virDomainMigrateFinish3Params: refused('operation failed: there', 9) },
    [...all(live).slice(0, -1), CONFIRM(live, undefined, 1, URI)],
    '',
    ['operation failed: there']
  ],
  // the guest has arrived
  [managed, { ...PHASES, virDomainMigrateConfirm3Params: refused('no confirm', 1) }, all(live), ''],
  // the source leads
  [peer, DONE, toUri('', 3), ''],
  [
    `${peer} --tunneled --undefinesource --persistent --suspend --unsafe`,
    DONE,
    toUri('', 1 + 2 + 4 + 8 + 16 + 32 + 512),
    ''
  ],
  [
    `${peer} --copy-storage-all --migrate-disks vda,vdb --migrate-disks-detect-zeroes vda --disks-port 4711`,
    DONE,
    toUri('"disks_port":4711,"migrate_disks":["vda","vdb"],"migrate_disks_detect_zeroes":["vda"]', 67),
    ''
  ],
  [
    `${peer} --compressed --comp-methods mt,xbzrle --comp-mt-level 3 --comp-xbzrle-cache 65536 --disks-port 0`,
    DONE,
    toUri('"compression":["mt","xbzrle"],"compression.mt.level":3,"compression.xbzrle.cache":65536', 2051),
    ''
  ],
  [
    `${peer} --xml ${file} --dname other --migrateuri tcp:x --graphicsuri vnc:y --listen-address z`,
    DONE,
    toUri(
      '"migrate_uri":"tcp:x","graphics_uri":"vnc:y","listen_address":"z","destination_name":"other","destination_xml":"<domain/>"',
      3
    ),
    ''
  ],
  [peer, { virDomainMigrateToURI3: refused('no', 9) }, toUri('', 3), '', ['no']],
  // a dry run asks both sides
  [`${managed} --check`, CHECKED(), CHECKS(1), 'Nothing speaks against the migration\n'],
  [`${managed} --check --json`, CHECKED(), CHECKS(1), '{"findings":[]}\n'],
  [
    `${managed} --check --abort-on-error`,
    CHECKED([WARNING], [{ ...WARNING, side: 'destination', device: 'vda' }]),
    CHECKS(4097, 1),
    ` Side          Severity   About   Device   Message
---
 source        warning    hooks   -        it may
 destination   warning    hooks   vda      it may
`
  ],
  [
    `${managed} --check`,
    { ...CHECKED([{ ...WARNING, severity: 'error' }]), virDomainGetState: { state: 3, reason: 1 } },
    CHECKS(1, 33),
    ` Side     Severity   About   Device   Message
---
 source   error      hooks   -        it may
`,
    []
  ],
  [
    `${managed} --check`,
    { ...CHECKED(), virDomainQemuMigrateCheckPrepare: refused('not there', 1) },
    CHECKS(1),
    '',
    ['not there']
  ],
  [
    `migrate tiny ${to} --live --p2p --check`,
    CHECKED(),
    CHECKS(3, 3, `"dconnuri":"${to}"`),
    'Nothing speaks against the migration\n'
  ],
  wrong(`${managed} --json`, 'Option --check is required by option --json'),
  // nothing is asked
  wrong(`${managed} --offline`, 'Options --live and --offline are mutually exclusive'),
  wrong(
    `${managed} --copy-storage-all --copy-storage-inc`,
    'Options --copy-storage-all and --copy-storage-inc are mutually exclusive'
  ),
  wrong(`${managed} --postcopy-resume`, 'Option --postcopy is required by option --postcopy-resume'),
  wrong(`${managed} --persistent-xml ${file}`, 'Option --persistent is required by option --persistent-xml'),
  wrong(`migrate tiny ${to} --timeout 3`, 'migrate: Unexpected timeout for offline migration'),
  wrong(`${managed} --timeout-suspend`, 'migrate: Unexpected --timeout-* option without --timeout'),
  wrong(`${managed} --migrate-disks vda`, `'--migrate-disks' ${NEEDS_COPY}`),
  wrong(`${managed} --copy-storage-synchronous-writes`, `'--copy-storage-synchronous-writes' ${NEEDS_COPY}`),
  wrong(`${managed} --tunnelled`, 'cannot perform tunnelled migration without using peer2peer flag')
])
