// Medians, and tables of them in Markdown.

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export const ms = (value: number): string => `${value.toFixed(0)} ms`
export const mib = (bytes: number): string => `${(bytes / 1048576).toFixed(1)} MiB`
export const ratio = (value: number, of: number): string => `${(value / of).toFixed(2)} ×`

/** Prints rows as a Markdown table. */
export function printTable(head: string[], rows: string[][]): void {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  console.log([line(head), line(head.map(() => '---')), ...rows.map(line), ''].join('\n'))
}
