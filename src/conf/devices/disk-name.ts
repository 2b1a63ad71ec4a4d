// Disk names in the guest: vda, sdb, fda … (virDiskNameParse).

const NAME = /^(?:fd|hd|vd|sd|xvd|ubd)([a-z]+)(\d*)$/
const INT_MAX = 2 ** 31 - 1

/** Disk number and partition of a name: vda is 0, vdz 25, vdaa 26, sda3 partition 3; undefined for what is no name. */
export function parseDiskName(dev: string): { index: number; partition: number } | undefined {
  const [, letters, digits] = NAME.exec(dev) ?? []
  if (letters === undefined || digits === undefined) return undefined
  const partition = Number(digits)
  if ((digits.length > 1 && digits[0] === '0') || partition > INT_MAX) return undefined
  let index = -1
  for (const letter of letters) index = (index + 1) * 26 + letter.charCodeAt(0) - 97
  return { index, partition }
}

/** The number in a disk name, -1 for a name that is none (virDiskNameToIndex). */
export function diskIndex(dev: string): number {
  return parseDiskName(dev)?.index ?? -1
}
