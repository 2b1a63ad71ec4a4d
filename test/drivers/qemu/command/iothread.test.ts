import t from 'tap'
import { argvOf, errorOf } from '../../../helper/definition.ts'

const POOLS =
  "<iothreads>2</iothreads><iothreadids><iothread id='7' thread_pool_min='0' thread_pool_max='9'/></iothreadids><defaultiothread thread_pool_max='3'/>"

t.test('threads and their pools', async t => {
  const objects = (await argvOf('', { outside: POOLS })).filter(line => /iothread|main-loop/.test(line))
  t.same(objects, [
    '-object {"qom-type":"iothread","id":"iothread7","thread-pool-min":0,"thread-pool-max":9}',
    '-object {"qom-type":"iothread","id":"iothread1"}',
    '-object {"qom-type":"main-loop","id":"main-loop","thread-pool-max":3}'
  ])
})

t.test('pools must be known to QEMU', async t => {
  t.match(
    await errorOf(() => argvOf('', { outside: POOLS, missing: ['iothread.thread-pool-max'] })),
    'thread_pool_min and thread_pool_max is not supported by this QEMU binary'
  )
})

t.test('polling as it is told, zero too', async t => {
  const outside =
    "<iothreads>2</iothreads><iothreadids><iothread id='7'><poll max='5' grow='0' weight='3'/></iothread><iothread id='8'><poll/></iothread></iothreadids>"
  const objects = (await argvOf('', { outside })).filter(line => line.includes('iothread'))
  t.same(objects, [
    '-object {"qom-type":"iothread","id":"iothread7","poll-max-ns":5,"poll-grow":0,"poll-weight":3}',
    '-object {"qom-type":"iothread","id":"iothread8"}'
  ])
})

t.test('a weight of polling is a shift of 64 bits', async t => {
  const outside = "<iothreads>1</iothreads><iothreadids><iothread id='1'><poll weight='64'/></iothread></iothreadids>"
  t.match(await errorOf(() => argvOf('', { outside })), /poll weight 64 is out of range \[0, 63\]$/)
})
