// Taints: reasons why nobody but its user can answer for a guest, by libvirt's names (virDomainTaint).
/** Messages of virDomainGetMessages for each, in its order. */
export const TAINTS = {
  'custom-argv': 'custom configuration parameters specified',
  'custom-monitor': 'custom monitor control commands issued',
  'high-privileges': 'running with undesirable elevated privileges',
  'shell-scripts': 'network configuration using opaque shell scripts',
  'hook-script': 'configuration potentially modified by hook script',
  'cdrom-passthrough': 'use of host cdrom passthrough',
  'custom-dtb': 'custom device tree blob used',
  'custom-ga-command': 'custom guest agent control commands issued',
  'custom-hypervisor-feature': 'hypervisor feature autodetection override',
  'deprecated-config': 'use of deprecated configuration settings',
  'custom-device': 'custom device configuration'
} as const

export type Taint = keyof typeof TAINTS
