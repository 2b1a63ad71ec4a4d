// <memtune>: the host's limits on the memory of the guest's process; sizes are KiB.
import { attr, custom, type Field, type Fields, gatheredChild } from '../element.ts'
import { string } from '../scalar.ts'
import { childAmount, memoryKiB, scaledValue } from '../scaled.ts'
import { element, firstChild } from '../xml.ts'

/** From here on a limit is none (VIR_DOMAIN_MEMORY_PARAM_UNLIMITED). */
export const MEMORY_UNLIMITED_KIB = 2n ** 53n - 1n

function amount(name: string, read: (node: Parameters<typeof childAmount>[0]) => number | undefined) {
  return custom<number | undefined>({
    names: [[name, { unit: attr('unit', string) }]],
    parse: node => (firstChild(node, name) ? read(node) : undefined),
    format(value, into) {
      if (value !== undefined) into.children.push(element(name, { unit: 'KiB' }, [String(value)]))
    }
  })
}

/** A limit; one too large to matter counts as none (virDomainParseMemoryLimit). */
function limit(name: string): Field<number | undefined> {
  return amount(name, node => {
    const bytes = scaledValue(childAmount(node, name, `./memtune/${name}[1]`), 1024n, MEMORY_UNLIMITED_KIB << 10n)
    const kib = bytes === undefined ? undefined : (bytes + 1023n) / 1024n
    return kib === undefined || kib >= MEMORY_UNLIMITED_KIB ? undefined : Number(kib)
  })
}

export const memtuneFields = {
  memtune: gatheredChild('memtune', {
    hardLimitKiB: limit('hard_limit'),
    softLimitKiB: limit('soft_limit'),
    minGuaranteeKiB: amount(
      'min_guarantee',
      node => memoryKiB(childAmount(node, 'min_guarantee', './memtune/min_guarantee[1]')) || undefined
    ),
    swapHardLimitKiB: limit('swap_hard_limit')
  })
} satisfies Fields
