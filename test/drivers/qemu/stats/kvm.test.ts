import t from 'tap'
import { namedStats } from '../../../../src/drivers/qemu/stats/kvm.ts'

t.test('counters have the names of their kinds; histograms and unknown ones are left out', async t => {
  const schema = new Map(
    [
      { name: 'exits', type: 'cumulative' },
      { name: 'max_mmu_page_hash_collisions', type: 'peak' },
      { name: 'pages_4k', type: 'instant' },
      { name: 'blocking', type: 'instant', unit: 'boolean' },
      { name: 'halt_poll_success_hist', type: 'log2-histogram' }
    ].map(one => [one.name, one] as const)
  )
  const stats = [
    { name: 'exits', value: 12 },
    { name: 'max_mmu_page_hash_collisions', value: 3 },
    { name: 'pages_4k', value: 18446744073709551615n },
    { name: 'blocking', value: true },
    { name: 'halt_poll_success_hist', value: [1, 2] },
    { name: 'nobody_told_of', value: 1 }
  ]
  t.strictSame(namedStats(stats, schema), [
    ['exits.sum', { type: 'ullong', value: 12n }],
    ['max_mmu_page_hash_collisions.max', { type: 'ullong', value: 3n }],
    ['pages_4k.cur', { type: 'ullong', value: 18446744073709551615n }],
    ['blocking.cur', { type: 'boolean', value: true }]
  ])
  t.strictSame(
    namedStats(
      [
        { name: 'blocking', value: 1 },
        { name: 'exits', value: 'many' }
      ],
      schema
    ),
    []
  )
})
