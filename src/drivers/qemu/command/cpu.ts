// -cpu and -smp
import type { Command } from './command.ts'
import { keyValue } from './command.ts'

export function cpuArgs(command: Command): void {
  const { def } = command
  const { cpu } = def
  if (!cpu || (cpu.mode === undefined && !cpu.model)) return
  const model = { 'host-passthrough': 'host', maximum: 'max', 'host-model': 'max', custom: cpu.model?.name }[
    cpu.mode ?? 'custom'
  ]
  const features = cpu.features
    .filter(({ policy }) => policy !== 'optional' && policy !== undefined)
    .map(({ name, policy }) => [name, policy === 'require' || policy === 'force'] as const)
  const migratable = cpu.mode === 'host-passthrough' || cpu.mode === 'maximum' ? cpu.migratable : undefined
  command.add('-cpu', keyValue(model ?? 'qemu64', { migratable, ...Object.fromEntries(features) }))
}

export function smpArgs(command: Command): void {
  const { vcpu, cpu } = command.def
  const topology = cpu?.topology
  const current = vcpu.current ?? vcpu.max
  command.add(
    '-smp',
    keyValue(String(current), {
      maxcpus: current === vcpu.max ? undefined : vcpu.max,
      sockets: topology?.sockets ?? vcpu.max,
      dies: topology && command.qemu.has('smp-dies') ? topology.dies : undefined,
      cores: topology?.cores ?? 1,
      threads: topology?.threads ?? 1
    })
  )
}
