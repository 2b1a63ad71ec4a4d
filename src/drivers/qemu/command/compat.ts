// -compat: what QEMU does about deprecated features that are used.
import { formatJson } from '../../../conf/json.ts'
import type { Props } from '../parts/props.ts'
import type { Command } from './command.ts'

const BEHAVIORS: Record<string, Props> = {
  omit: { 'deprecated-output': 'hide' },
  reject: { 'deprecated-output': 'hide', 'deprecated-input': 'reject' },
  crash: { 'deprecated-output': 'hide', 'deprecated-input': 'crash' }
}

/** Behaviours that are not known are passed over, so that a guest still starts under another version. */
export function compatArgs(command: Command): void {
  const behavior = command.def.qemuNamespace?.deprecation
  const props = behavior !== undefined && Object.hasOwn(BEHAVIORS, behavior) && BEHAVIORS[behavior]
  if (props && command.qemu.has('compat-deprecated')) command.add('-compat', formatJson(props))
}
