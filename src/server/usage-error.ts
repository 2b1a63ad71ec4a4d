/** Misuse of the command line; ends with status 2. */
export class UsageError extends Error {}
