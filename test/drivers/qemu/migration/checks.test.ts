import t from 'tap'
import { virDomainMigrateFlags } from '../../../../src/conf/enums.ts'
import type { MigrationParams } from '../../../../src/drivers/migration.ts'
import {
  checkBegin,
  checkManaged,
  checkPerform,
  checkPrepare,
  checkPrepareTunnel,
  checkToUri,
  refuseRdma
} from '../../../../src/drivers/qemu/migration/checks.ts'
import { define } from '../../../helper/definition.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'

type Flag = keyof typeof virDomainMigrateFlags extends `VIR_MIGRATE_${infer F}` ? F : never
const bits = (...names: Flag[]) => names.reduce((all, name) => all | virDomainMigrateFlags[`VIR_MIGRATE_${name}`], 0)

const BAD = 'VIR_ERR_INVALID_ARG VIR_FROM_DOMAIN: '
const QEMU_BAD = 'VIR_ERR_INVALID_ARG VIR_FROM_QEMU: invalid argument: '
const URI = 'qemu+ssh://two/system'

const STORAGE: [flags: Flag[], message: string][] = [
  [
    ['NON_SHARED_DISK', 'NON_SHARED_INC'],
    `${BAD}Flags 'VIR_MIGRATE_NON_SHARED_DISK' and 'VIR_MIGRATE_NON_SHARED_INC' are mutually exclusive`
  ],
  [
    ['NON_SHARED_SYNCHRONOUS_WRITES'],
    `${BAD}Flag 'VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC' is required by flag ` +
      "'VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES'"
  ]
]

t.test('virDomainMigrateToURI3', async t => {
  const cases: [flags: Flag[], message: string, uri?: string | null][] = [
    [['PEER2PEER'], ''],
    [['PEER2PEER', 'NON_SHARED_INC', 'NON_SHARED_SYNCHRONOUS_WRITES'], ''],
    [
      ['TUNNELLED', 'PARALLEL', 'NON_SHARED_DISK', 'NON_SHARED_INC'],
      `${BAD}Flags 'VIR_MIGRATE_TUNNELLED' and 'VIR_MIGRATE_PARALLEL' are mutually exclusive`
    ],
    ...STORAGE,
    [
      ['LIVE'],
      'VIR_ERR_ARGUMENT_UNSUPPORTED VIR_FROM_DOMAIN: argument unsupported: ' +
        'direct migration is not supported by the source host'
    ],
    [['PEER2PEER'], `${BAD}dconnuri in virDomainMigrateToURI3 must not be NULL`, null],
    ...['qemu:///system', 'qemu+ssh://localhost/system', 'qemu+tcp://localhost.localdomain', 'here'].map(
      (uri): [Flag[], string, string] => [['PEER2PEER'], `${BAD}Attempt to migrate guest to the same host`, uri]
    ),
    [['PEER2PEER'], '', 'qemu+unix:///system?socket=/run/sock'],
    [['PEER2PEER'], '', 'qemu+unix:///system?mode=direct&socket=/run/sock']
  ]
  for (const [flags, message, uri = URI] of cases) {
    t.equal(await failureOf(() => checkToUri(bits(...flags), uri ?? undefined)), message, `${flags} ${uri}`)
  }
})

t.test('virDomainMigrate3', async t => {
  const cases: [flags: Flag[], message: string][] = [
    [['LIVE', 'PARALLEL'], ''],
    ...STORAGE,
    [['PEER2PEER'], `${BAD}use virDomainMigrateToURI3 for peer-to-peer migration`],
    [['TUNNELLED'], `${BAD}cannot perform tunnelled migration without using peer2peer flag`]
  ]
  for (const [flags, message] of cases) t.equal(await failureOf(() => checkManaged(bits(...flags))), message)
})

t.test('everything that does not go together', async t => {
  const def = await define("<disk type='file'><source file='/a'/><target dev='vda'/></disk>")
  const heard = (check: (refuse: (error: Error) => void) => void) => {
    const messages: string[] = []
    check(error => messages.push(error.message))
    return messages.length
  }
  t.equal(
    heard(refuse => checkManaged(bits('TUNNELLED', 'PEER2PEER', 'NON_SHARED_DISK', 'NON_SHARED_INC'), refuse)),
    3
  )
  t.equal(
    heard(refuse => checkToUri(bits('TUNNELLED', 'PARALLEL', 'NON_SHARED_SYNCHRONOUS_WRITES'), undefined, refuse)),
    4
  )
  const params = { migrate_disks: ['vdb', 'vdc'], migrate_uri: 'unix:/run/m', listen_address: '::1' }
  t.equal(
    heard(refuse => checkBegin(def, params, bits('NON_SHARED_DISK', 'OFFLINE', 'TUNNELLED', 'ZEROCOPY'), refuse)),
    7
  )
  t.equal(
    heard(refuse => checkPerform({ ...params, disks_port: 7 }, bits('NON_SHARED_DISK'), refuse)),
    2
  )
  t.equal(
    heard(refuse => checkPrepare({ ...params, disks_port: 7 }, bits('TUNNELLED'), refuse)),
    3
  )
})

const NBD_URI = `${QEMU_BAD}NBD URI must be supplied when migration URI uses UNIX transport method`
const BOTH = `${QEMU_BAD}Both port and URI requested for disk migration while being mutually exclusive`
const LISTEN = `${QEMU_BAD}Usage of listen-address is forbidden when migration URI uses UNIX transport method`
const unix = { migrate_uri: 'unix:/run/m' }

t.test('places that do not go together', async t => {
  const cases: [params: MigrationParams, flags: Flag[], prepare: string, perform?: string][] = [
    [{}, ['NON_SHARED_DISK'], ''],
    [unix, [], ''],
    [unix, ['NON_SHARED_DISK'], NBD_URI],
    [{ ...unix, migrate_disks: ['vda'] }, [], NBD_URI],
    [{ ...unix, disks_uri: 'unix:/run/n' }, ['NON_SHARED_INC'], ''],
    [{ disks_uri: 'unix:/run/n', disks_port: 7 }, [], BOTH],
    [{ disks_uri: 'unix:/run/n', disks_port: 0 }, [], ''],
    [{ ...unix, listen_address: '::1' }, [], LISTEN],
    [{ ...unix, listen_address: '::1' }, ['NON_SHARED_DISK'], NBD_URI, LISTEN],
    [{ migrate_uri: 'tcp:two', listen_address: '::1' }, [], '']
  ]
  for (const [params, flags, prepare, perform = prepare] of cases) {
    const name = JSON.stringify(params)
    t.equal(await failureOf(() => checkPrepare(params, bits(...flags))), prepare, name)
    t.equal(await failureOf(() => checkPerform(params, bits(...flags))), perform, `${name}, source`)
  }
  const internal = 'VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: '
  t.equal(
    await failureOf(() => checkPrepare({}, bits('TUNNELLED'))),
    `${internal}Tunnelled migration requested but invalid RPC method called`
  )
  t.equal(await failureOf(() => checkPrepareTunnel(0)), `${internal}PrepareTunnel called but no TUNNELLED flag set`)
  t.equal(await failureOf(() => checkPrepareTunnel(bits('TUNNELLED'))), '')
})

t.test('how a guest can be moved', async t => {
  const def = await define("<disk type='file'><source file='/a'/><target dev='vda'/></disk>")
  const argument = 'VIR_ERR_ARGUMENT_UNSUPPORTED VIR_FROM_QEMU: argument unsupported: '
  const invalid = 'VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: Requested operation is not valid: '
  const unsupported = 'VIR_ERR_OPERATION_UNSUPPORTED VIR_FROM_QEMU: Operation not supported: '
  const postcopy = `${argument}post-copy migration is not supported with non-live or paused migration`
  const needs = (param: string) =>
    `${unsupported}use of 'VIR_MIGRATE_PARAM_${param}' requires use of 'VIR_MIGRATE_NON_SHARED_DISK' or 'VIR_MIGRATE_NON_SHARED_INC' flag`
  const cases: [flags: Flag[], message: string, params?: MigrationParams][] = [
    [['LIVE', 'POSTCOPY'], ''],
    [['POSTCOPY'], postcopy],
    [['POSTCOPY', 'LIVE', 'PAUSED'], postcopy],
    [['POSTCOPY', 'LIVE', 'TUNNELLED'], `${argument}post-copy is not supported with tunnelled migration`],
    [['OFFLINE', 'PERSIST_DEST'], ''],
    [['OFFLINE', 'NON_SHARED_DISK'], `${invalid}offline migration cannot handle non-shared storage`],
    [['OFFLINE'], `${invalid}offline migration must be specified with the persistent flag set`],
    [['OFFLINE', 'PERSIST_DEST', 'TUNNELLED'], `${invalid}tunnelled offline migration does not make sense`],
    [['ZEROCOPY'], `${invalid}zero-copy is only available for parallel migration`],
    [['ZEROCOPY', 'PARALLEL'], ''],
    [
      ['NON_SHARED_DISK', 'TUNNELLED'],
      `${unsupported}migration of non-shared storage is not supported with tunnelled migration and this QEMU`
    ],
    [['NON_SHARED_DISK'], '', { migrate_disks: ['vda'], migrate_disks_target_zero: ['vda'] }],
    [['NON_SHARED_INC'], `${QEMU_BAD}disk target vdb not found`, { migrate_disks: ['vda', 'vdb'] }],
    [['NON_SHARED_INC'], `${QEMU_BAD}disk target vdx not found`, { migrate_disks_detect_zeroes: ['vdx'] }],
    [[], needs('MIGRATE_DISKS'), { migrate_disks: ['vda'] }],
    [[], needs('MIGRATE_DISKS_DETECT_ZEROES'), { migrate_disks_detect_zeroes: ['vda'] }]
  ]
  for (const [flags, message, params = {}] of cases) {
    t.equal(await failureOf(() => checkBegin(def, params, bits(...flags))), message, `${flags} ${Object.keys(params)}`)
  }
})

t.test('RDMA', async t => {
  const plain = await define('')
  const limited = { ...plain, memtune: { hardLimitKiB: 1024 } }
  const said = (def: typeof plain, uri?: string) => failureOf(() => refuseRdma(def, uri, 'incoming'))
  t.equal(await said(plain), '')
  t.equal(await said(plain, 'tcp://two'), '')
  t.match(await said(plain, 'rdma://two'), /^VIR_ERR_OPERATION_INVALID .*with no memory hard limit set$/)
  t.match(
    await said(limited, 'rdma://two'),
    /^VIR_ERR_OPERATION_UNSUPPORTED .*incoming RDMA migration is not supported/
  )
})
