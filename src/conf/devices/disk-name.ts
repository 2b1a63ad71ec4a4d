// Disk names in the guest: vda, sdb, fda … (virDiskNameParse).

const NAME = /^(?:fd|hd|vd|sd|xvd|ubd)([a-z]+)(\d*)$/
const INT_MAX = 2 ** 31 - 1

/** The number in a disk name: vda is 0, vdz 25, vdaa 26; -1 for a name of no int's number (virDiskNameToIndex). */
export function diskIndex(dev: string): number {
  const letters = NAME.exec(dev)?.[1]
  if (letters === undefined) return -1
  let index = -1
  for (const letter of letters) index = (index + 1) * 26 + letter.charCodeAt(0) - 97
  return index > INT_MAX ? -1 : index
}

/** The partition a name speaks of, 0 for a whole disk; undefined for what is no name. */
export function diskPartition(dev: string): number | undefined {
  const digits = NAME.exec(dev)?.[2]
  if (digits === undefined || diskIndex(dev) < 0 || /^0\d/.test(digits) || Number(digits) > INT_MAX) return undefined
  return Number(digits)
}
