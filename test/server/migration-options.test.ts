// Options for guests that move: those of qemu.conf, which the aggregator hands on to its shims.
import { parseArgs } from 'node:util'
import t from 'tap'
import { readOptions as readAggregatorOptions } from '../../src/server/aggregator/options.ts'
import {
  MIGRATION_USAGE,
  type MigrationConfig,
  migrationOptions,
  migrationWords,
  readMigrationConfig
} from '../../src/server/migration-options.ts'
import { type Options, readOptions } from '../../src/server/options.ts'

const read = (...args: string[]) => readMigrationConfig(parseArgs({ args, options: migrationOptions }).values)

const CASES: [words: string[], config: MigrationConfig][] = [
  [[], {}],
  [['--migrate-tls-x509-cert-dir=/certs'], { migrateTlsX509CertDir: '/certs' }],
  [['--migrate-tls-x509-verify=no'], { migrateTlsX509Verify: false }],
  [['--migrate-tls-x509-verify=yes'], { migrateTlsX509Verify: true }],
  [
    ['--migrate-tls-x509-secret-uuid=6dfc3c2b-7a4e-4f6e-9f0b-000000000001'],
    { migrateTlsX509SecretUuid: '6dfc3c2b-7a4e-4f6e-9f0b-000000000001' }
  ],
  [['--migrate-tls-priority=NORMAL:-VERS-TLS1.2'], { migrateTlsPriority: 'NORMAL:-VERS-TLS1.2' }],
  [['--migrate-tls-force'], { migrateTlsForce: true }],
  [['--migration-address=192.0.2.1'], { migrationAddress: '192.0.2.1' }],
  [['--migration-address=::'], { migrationAddress: '::' }],
  [['--migration-host=there.example.com'], { migrationHost: 'there.example.com' }],
  [['--migration-port-min=50000', '--migration-port-max=50010'], { migrationPortMin: 50000, migrationPortMax: 50010 }]
]

t.test('what is given is what is set, and is handed on as it came', async t => {
  for (const [words, config] of CASES) {
    t.same(read(...words), config, words.join(' '))
    t.same(migrationWords(config), words)
    t.same((readOptions([...words, 'x.xml']) as Options).migration, config)
    t.match(readAggregatorOptions(words), { migration: config })
  }
  t.same(read('--migration-host=[2001:db8::1]'), { migrationHost: '2001:db8::1' })
  t.match(read('--migrate-tls-x509-cert-dir=certs').migrateTlsX509CertDir, /^\/.*\/certs$/, 'wherever it is run')
})

t.test('what cannot be', async t => {
  const cases: [words: string[], message: RegExp][] = [
    [['--migrate-tls-x509-verify=maybe'], /^--migrate-tls-x509-verify: 'maybe' is neither yes nor no$/],
    [['--migrate-tls-x509-secret-uuid=x'], /'x' is no uuid/],
    [['--migration-address=127.0.0.1'], /must not be the address of the local machine/],
    [['--migration-address=[::1]'], /must not be the address of the local machine/],
    [['--migration-host=localhost.localdomain'], /must not be the address of the local machine/],
    [['--migration-port-min=0'], /'0' is no port/],
    [['--migration-port-max=65536'], /'65536' is no port/],
    [['--migration-port-max=40000'], /40000 is below the first port, 49152/]
  ]
  for (const [words, message] of cases) t.throws(() => read(...words), { message }, words.join(' '))
})

t.test('the usage has each', async t => {
  for (const name of Object.keys(migrationOptions)) t.match(MIGRATION_USAGE, `--${name}`)
})
