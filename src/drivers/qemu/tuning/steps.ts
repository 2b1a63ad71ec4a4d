// A change in several steps on the host that is made as a whole: what was done is undone when a later step fails.

/** Does a step and says how to undo it. */
export type Step = (set: () => Promise<unknown>, undo: () => Promise<unknown>) => Promise<void>

/**
 * Does the work in steps. A step that is given with its undoing counts as done only when it has succeeded.
 * @throws what a step throws, after the others are undone, the last first; what cannot be undone stays
 */
export async function inSteps(work: (step: Step) => Promise<void>): Promise<void> {
  const done: (() => Promise<unknown>)[] = []
  try {
    await work(async (set, undo) => {
      await set()
      done.push(undo)
    })
  } catch (error) {
    for (const undo of done.reverse()) await undo().catch(() => undefined)
    throw error
  }
}
