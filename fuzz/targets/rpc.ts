// Bytes of RPC clients, as they come: packets, and what is in each procedure's.
import { VirError } from '../../src/conf/error.ts'
import { readFields, writeFields } from '../../src/server/rpc/codec.ts'
import {
  FrameError,
  FrameReader,
  MessageStatus,
  MessageType,
  makeFrame,
  PROTOCOL_VERSION,
  QEMU_PROGRAM,
  REMOTE_PROGRAM,
  readError,
  readerOf
} from '../../src/server/rpc/frame.ts'
import { findProcedure } from '../../src/server/rpc/procedures.ts'
import { type XdrReader, XdrWriter } from '../../src/server/rpc/xdr.ts'
import { Fault, type Target } from '../target.ts'

const PROCEDURE_MAX = 460
const numbers = [...Array(PROCEDURE_MAX).keys()].filter(number => findProcedure(REMOTE_PROGRAM, number))

/** A payload of small numbers, which are lengths and marks of presence too. */
function call(procedure: number, program: number, word: (i: number) => number, words: number): Buffer {
  const header = {
    program,
    version: PROTOCOL_VERSION,
    procedure,
    type: MessageType.CALL,
    serial: 1,
    status: MessageStatus.OK
  }
  return makeFrame(header, to => {
    for (let i = 0; i < words; i++) to.uint(word(i))
  })
}

const calls = () => [
  ...numbers.flatMap(number => [
    call(number, REMOTE_PROGRAM, () => 0, 16),
    call(number, REMOTE_PROGRAM, () => 1, 40),
    call(number, REMOTE_PROGRAM, i => (i % 3 === 0 ? 4 : 0x61626364), 24)
  ]),
  ...[1, 2, 3, 4, 5, 6].map(number => call(number, QEMU_PROGRAM, i => i % 5, 24))
]

/** What a daemon does with a packet before it carries anything out. */
function receive(bytes: Buffer, step: number): string {
  const reader = new FrameReader()
  const ways: string[] = []
  for (let at = 0; at < bytes.length; at += step) {
    for (const frame of reader.push(bytes.subarray(at, at + step))) {
      const procedure = findProcedure(frame.program, frame.procedure)
      ways.push(procedure?.name ?? 'unknown')
      if (procedure) readArguments(procedure, readerOf(frame))
    }
  }
  return ways.slice(0, 3).join()
}

function readArguments({ args }: NonNullable<ReturnType<typeof findProcedure>>, from: XdrReader): void {
  const values = readFields(args, from)
  const to = new XdrWriter()
  writeFields(args, values, to)
}

export const RPC_TARGETS: Target[] = [
  {
    name: 'rpc/packets',
    kind: 'bytes',
    corpus: calls,
    refusals: [FrameError],
    run(input) {
      const whole = outcome(() => receive(input, input.length || 1))
      const cut = outcome(() => receive(input, 7))
      // of packets that come at once with one that cannot be none is read
      if (whole !== cut && !/^packet of/.test(whole)) throw new Fault(`read at once: ${whole}; in pieces: ${cut}`)
      return whole
    }
  },
  {
    name: 'rpc/error',
    kind: 'bytes',
    corpus: () => [call(1, REMOTE_PROGRAM, i => i % 4, 30), call(1, REMOTE_PROGRAM, () => 1, 30)],
    run(input) {
      const bytes = Buffer.concat([input, Buffer.alloc(Math.max(0, 28 - input.length))])
      const error = readError(readerOf({ bytes, type: MessageType.REPLY } as Parameters<typeof readerOf>[0]))
      return error.code
    }
  }
]

/** What came of it; both ways of reading must come to the same. */
function outcome(work: () => string): string {
  try {
    return work()
  } catch (error) {
    if (error instanceof VirError || error instanceof FrameError) return error.message
    throw error
  }
}
