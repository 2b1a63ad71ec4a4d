// Words of a guest's about what it gives up.

/** ACPI's _OST: what is being told about, and how it went (ACPI specification, "_OST"). */
const EJECTION_SOURCES: readonly unknown[] = [0x003, 0x103]
const EJECTED = 0
const isRefusal = (status: number) => status === 0x01 || (status >= 0x80 && status <= 0x83)

/** The memory module a guest will not give up. @param info of ACPI_DEVICE_OST (qemuProcessHandleAcpiOstInfo) */
export function refusedEjection(info: object): string | undefined {
  const { device, 'slot-type': slotType, source, status } = info as Record<string, unknown>
  const isEjection = slotType === 'DIMM' && EJECTION_SOURCES.includes(Number(source))
  return isEjection && typeof device === 'string' && isRefusal(Number(status)) ? device : undefined
}

/** A vCPU has gone, nobody says which. @param info of ACPI_DEVICE_OST */
export function isVcpuEjected(info: object): boolean {
  const { 'slot-type': slotType, source, status } = info as Record<string, unknown>
  return slotType === 'CPU' && EJECTION_SOURCES.includes(Number(source)) && Number(status) === EJECTED
}
