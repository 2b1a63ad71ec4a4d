// Steps of what is done in several: a test's build has a daemon stop at one of them (test/helper/stopping-daemons.ts). Here
// there is nothing of it, and esbuild leaves out what calls it.

/** Nothing, of which a test makes something. @param _name of what has just been done */
export function step(_name: string): void {}
