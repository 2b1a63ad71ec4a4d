// Numbers that look random and are the same for the same seed, on every machine (xorshift128).

export class Random {
  readonly #state = new Uint32Array(4)

  constructor(seed: number) {
    let x = seed >>> 0
    for (let i = 0; i < 4; i++) {
      // splitmix32
      x = (x + 0x9e3779b9) >>> 0
      let z = x
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
      this.#state[i] = (z ^ (z >>> 16)) >>> 0
    }
  }

  /** 32 bits */
  next(): number {
    const state = this.#state
    const t = state[3]! ^ (state[3]! << 11)
    state[3] = state[2]!
    state[2] = state[1]!
    state[1] = state[0]!
    state[0] = state[0]! ^ (state[0]! >>> 19) ^ t ^ (t >>> 8)
    return state[0]!
  }

  /** a whole number from 0 to below `limit` */
  below(limit: number): number {
    return limit <= 0 ? 0 : this.next() % limit
  }

  /** true once in `times` */
  oneIn(times: number): boolean {
    return this.below(times) === 0
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }
}
