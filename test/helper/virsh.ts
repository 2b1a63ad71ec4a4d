// virsh and programs like it, run for their exit status and output; what differs between equal guests is masked.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const TIMEOUT_MS = 30_000

export interface Ran {
  status: number | null
  out: string
  err: string
}

/** What differs between equal guests: ids, times, sizes in memory, paths of their own. */
export function masks(names: string, images: string): [RegExp, string][] {
  return [
    [new RegExp(`^( ?)\\d+( +(?:${names}))`, 'gm'), '$1ID$2'],
    [/^(Id: +)\d+/gm, '$1ID'],
    [/"id":"(?:libvirt|virshim)-\d+"/g, '"id":"N"'],
    [/<domain type='qemu' id='\d+'/g, "<domain type='qemu' id='ID'"],
    [/(time[^\n\d]*?[=: \t]+)[\d.]+/gi, '$1TIME'],
    [
      /((?:CPU|delay|rss|_time|rd_|wr_|\.rd\.|\.wr\.|\.fl\.|flush|duration|last.update|highest|allocation|physical)[^\n]*?[=: ]+)[\d.]+/gi,
      '$1NUMBER'
    ],
    [/(?:\/dev\/pts\/)\d+/g, '/dev/pts/N'],
    [new RegExp(`/[^\\s'"<]*/(?:${images})`, 'g'), 'IMAGE'],
    [/\/[^\s'"<]*\/org\.qemu\.guest_agent\.0/g, 'AGENT']
  ]
}

/**
 * Bits of the MSR IA32_ARCH_CAPABILITIES that QEMU 7.2 has no names for. libvirtd asks KVM; where the msr driver is not
 * there, we know of the MSR what QEMU tells.
 */
const UNNAMED_BITS = '(?:sbdr-ssdp-no|fbsdp-no|psdp-no|gds-no|rfds-no)'

/** Those bits among a host's features, in XML and in errors. */
export const UNNAMED_FEATURES: [RegExp, string][] = existsSync('/dev/cpu/0/msr')
  ? []
  : [
      [new RegExp(`\\n *<feature name='${UNNAMED_BITS}'/>`, 'g'), ''],
      [new RegExp(`, ${UNNAMED_BITS}(?=[,\\n])`, 'g'), '']
    ]

/** Runs programs and masks what they say. */
export function runner(varying: [RegExp, string][]) {
  const normal = (text: string) =>
    varying
      .reduce((out, [pattern, mask]) => out.replace(pattern, mask), text)
      .split('\n')
      .map(line => line.replace(/\s+$/, '').replace(/-{5,}/g, '---').replace(/ {2,}/g, '  '))
      .join('\n')
  return (program: string, ...words: string[]): Ran => {
    for (;;) {
      const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8', timeout: TIMEOUT_MS })
      // on a machine where others use it too, libvirtd may be on its way up again
      const isLibvirtd = words.includes('qemu:///system')
      if (isLibvirtd && /Failed to connect socket|client socket is closed|End of file while reading/.test(stderr))
        continue
      return { status, out: normal(stdout), err: normal(stderr) }
    }
  }
}

/** Keeps the lines that matter: what others' guests on this host or their daemon say is left out. */
export const only = (pattern: RegExp) => (text: string) =>
  text
    .split('\n')
    .filter(line => pattern.test(line))
    .join('\n')

/** Words of a command line: blanks separate, double quotes hold together. */
export const words = (line: string) =>
  (line.match(/\{.*\}|"[^"]*"|\S+/g) ?? []).map(word => word.replace(/^"(.*)"$/, '$1'))

/** A command, and what of its output matters. */
export type Step = string | [command: string, shown: (text: string) => string]
