// Tables as virsh prints them: columns three blanks apart, a dashed line under the header.

/** Control characters would break the columns and may come from a guest's or user's data: they are shown as \xNN. */
const printable = (cell: string) =>
  cell.replace(/\p{Cc}|\\(?=x)/gu, char => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)

/** Columns a text takes on a terminal: wide characters take two, combining ones none. */
function width(text: string): number {
  let columns = 0
  for (const char of text) {
    if (/\p{Mn}|\p{Me}|\p{Cf}/u.test(char)) continue
    columns +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u.test(
        char
      )
        ? 2
        : 1
  }
  return columns
}

/** Gives the table's text; without header when quiet. */
export function formatTable(header: string[], rows: string[][], quiet = false): string {
  const shown = (quiet ? rows : [header, ...rows]).map(row => row.map(printable))
  const widths = header.map((_, column) => Math.max(0, ...shown.map(row => width(row[column]!))))
  const lines = shown.map(row =>
    row
      .map((cell, column) => ` ${cell}${column < row.length - 1 ? ' '.repeat(widths[column]! - width(cell) + 2) : ''}`)
      .join('')
  )
  if (!quiet) lines.splice(1, 0, '-'.repeat(widths.reduce((sum, columns) => sum + columns + 3, 0)))
  return lines.map(line => `${line}\n`).join('')
}
