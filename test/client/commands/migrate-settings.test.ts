// Limits of migrations, as virsh asks for them and shows them.
import { migrateSettings } from '../../../src/client/commands/migrate-settings.ts'
import { BOOM, checkRows, type Row } from '../../helper/command-rows.ts'

const malformed = (value: string, option: string) => [
  `Numeric value '${value}' for <${option}> option is malformed or out of range`
]

const rows: Row[] = [
  [
    'migrate-setmaxdowntime tiny 300',
    { virDomainMigrateSetMaxDowntime: {} },
    ['virDomainMigrateSetMaxDowntime {"downtime":300}'],
    ''
  ],
  ['migrate-setmaxdowntime tiny 0', {}, [], '', ['migrate: Invalid downtime']],
  ['migrate-setmaxdowntime tiny -5', {}, [], '', malformed('-5', 'downtime')],
  [
    'migrate-getmaxdowntime tiny',
    { virDomainMigrateGetMaxDowntime: { downtime: 300n } },
    ['virDomainMigrateGetMaxDowntime {}'],
    '300\n'
  ],
  [
    'migrate-compcache tiny',
    { virDomainMigrateGetCompressionCache: { cacheSize: 67108864n } },
    ['virDomainMigrateGetCompressionCache {}'],
    'Compression cache: 64.000 MiB'
  ],
  [
    'migrate-compcache tiny --size 4096',
    { virDomainMigrateSetCompressionCache: {}, virDomainMigrateGetCompressionCache: { cacheSize: 4096n } },
    ['virDomainMigrateSetCompressionCache {"cacheSize":4096}', 'virDomainMigrateGetCompressionCache {}'],
    'Compression cache: 4.000 KiB'
  ],
  ['migrate-compcache tiny 4096', {}, [], '', ["unexpected data '4096'"]],
  [
    'migrate-setspeed tiny 5',
    { virDomainMigrateSetMaxSpeed: {} },
    ['virDomainMigrateSetMaxSpeed {"bandwidth":5,"flags":0}'],
    ''
  ],
  [
    'migrate-setspeed tiny 5 --postcopy',
    { virDomainMigrateSetMaxSpeed: {} },
    ['virDomainMigrateSetMaxSpeed {"bandwidth":5,"flags":1}'],
    ''
  ],
  [
    'migrate-setspeed tiny -1',
    { virDomainMigrateSetMaxSpeed: BOOM },
    ['virDomainMigrateSetMaxSpeed {"bandwidth":18446744073709551615,"flags":0}'],
    '',
    ['it went wrong']
  ],
  ['migrate-setspeed tiny 18446744073709551616', {}, [], '', malformed('18446744073709551616', 'bandwidth')],
  [
    'migrate-getspeed tiny',
    { virDomainMigrateGetMaxSpeed: { bandwidth: 8796093022207n } },
    ['virDomainMigrateGetMaxSpeed {"flags":0}'],
    '8796093022207\n'
  ],
  [
    'migrate-getspeed tiny --postcopy',
    { virDomainMigrateGetMaxSpeed: { bandwidth: 0n } },
    ['virDomainMigrateGetMaxSpeed {"flags":1}'],
    '0\n'
  ],
  ['migrate-postcopy tiny', { virDomainMigrateStartPostCopy: {} }, ['virDomainMigrateStartPostCopy {}'], '']
]

await checkRows(migrateSettings, rows)
