// Amounts of bytes as virsh writes them for people.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']

/** With three decimals in the largest unit that leaves at least 1 (vshPrettyCapacity). */
export function prettyCapacity(bytes: number | bigint): string {
  let [value, unit] = [Number(bytes), 0]
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024
  return `${value.toFixed(3)} ${UNITS[unit]}`
}
