// A call that is tied to its connection, as its caller makes it over HTTP: the answer is an event stream, which begins
// with the call's result and is held open.
import { request } from 'node:http'
import type { Socket } from 'node:net'
import { EVENT_STREAM, type RawAnswer, type RawRequest } from './raw-http.ts'

/** Longest answer, up to its result, in characters. */
const ANSWER_MAX = 256 * 1024
const RESULT = 'event: result\ndata: '

/**
 * One call on a connection that is made or being made, which stays open without keeping this process.
 * @param tie closes it when it aborts; absent: it is open as long as this process runs
 * @throws Error when there is no answer, or none in time
 */
export function askTied(
  socket: Socket,
  { method, path, body, timeoutMs }: RawRequest,
  tie?: AbortSignal
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => {
      clearTimeout(timer)
      socket.destroy()
      reject(error)
    }
    const timer = setTimeout(() => failed(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    const headers = { accept: EVENT_STREAM, 'content-type': 'application/json' }
    const sent = request({ createConnection: () => socket, method, path, headers })
    sent.on('error', failed)
    sent.on('response', reply => {
      const isStream = reply.headers['content-type'] === EVENT_STREAM
      let text = ''
      const answered = (answer: string) => {
        clearTimeout(timer)
        socket.unref()
        resolve({ status: reply.statusCode!, body: answer })
      }
      const look = (chunk: string) => {
        const from = Math.max(0, text.length - 1)
        text += chunk
        if (text.length > ANSWER_MAX) return failed(new Error('the answer is too long'))
        if (!isStream || text.indexOf('\n\n', from) < 0) return
        const blocks = text.split('\n\n')
        text = blocks.pop()!
        const result = blocks.find(block => block.startsWith(RESULT))
        if (result === undefined) return
        // events behind it are read, and nobody's
        reply.off('data', look).resume()
        answered(result.slice(RESULT.length))
      }
      reply.setEncoding('utf8').on('data', look)
      reply.on('end', () => answered(text))
      reply.on('error', failed)
    })
    const close = () => failed(new Error('the caller is gone'))
    socket.once('close', () => tie?.removeEventListener('abort', close))
    if (tie?.aborted) return close()
    tie?.addEventListener('abort', close, { once: true })
    sent.end(body)
  })
}
