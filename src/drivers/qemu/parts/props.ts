// Properties of what QEMU is told to make, in its two notations: key=value and JSON.

/** A QEMU option's values; undefined ones are left out, true and false are on and off in key=value form. */
export type Props = { [key: string]: PropValue | undefined }

export type PropValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | PropValue[]
  | { [key: string]: PropValue | undefined }

/** key=value,… form of an option: commas in values doubled, booleans as on and off. */
export function keyValue(head: string, props: Props = {}): string {
  let out = head
  for (const key in props) {
    const value = props[key]
    if (value === undefined) continue
    const text = typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value)
    out += `${out === '' ? '' : ','}${key}=${text.replace(/,/g, ',,')}`
  }
  return out
}
