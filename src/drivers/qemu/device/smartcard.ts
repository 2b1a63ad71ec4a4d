// <smartcard>: QEMU's checks and arguments; QEMU has one card in one reader.
import type { SmartcardDef } from '../../../conf/devices/smartcard.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Capability } from '../capabilities/signs.ts'
import type { Builder, DeviceProps } from '../parts/builder.ts'
import { addChardev, prepareChardevSource, validateQemuChardevSource } from './chardev/backend.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Directory of the certificates unless the user says otherwise (VIR_DOMAIN_SMARTCARD_DEFAULT_DATABASE). */
const DEFAULT_DATABASE = '/etc/pki/nssdb'

const NEEDS: Record<SmartcardDef['card']['mode'], { capability: Capability; mode: string }> = {
  host: { capability: 'ccid-emulated', mode: 'host' },
  'host-certificates': { capability: 'ccid-emulated', mode: 'host' },
  passthrough: { capability: 'ccid-passthru', mode: 'passthrough' }
}

export const qemuSmartcard: QemuFamily<SmartcardDef> = {
  validate({ card, address }, def, { qemu }) {
    const first = address?.type === 'ccid' && address.controller === 0 && address.slot === 0
    if (def.devices.smartcards.length > 1 || !first) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'this QEMU binary lacks multiple smartcard support')
    }
    const { capability, mode } = NEEDS[card.mode]
    if (!qemu.has(capability)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `this QEMU binary lacks smartcard ${mode} mode support`)
    }
    if (card.mode === 'passthrough') validateQemuChardevSource(card.source, def, qemu)
  },
  prepare({ card }, _def, context) {
    if (card.mode === 'passthrough') prepareChardevSource(card.source, context)
  },
  add: addSmartcard
}

function cardProps({ card, alias }: SmartcardDef): DeviceProps {
  switch (card.mode) {
    case 'host':
      return { driver: 'ccid-card-emulated', backend: 'nss-emulated' }
    case 'host-certificates': {
      const [cert1, cert2, cert3] = card.certificates
      const { database: db = DEFAULT_DATABASE } = card
      return { driver: 'ccid-card-emulated', backend: 'certificates', cert1, cert2, cert3, db }
    }
    case 'passthrough':
      return { driver: 'ccid-card-passthru', chardev: `char${alias}` }
  }
}

function addSmartcard(to: Builder, dev: SmartcardDef): void {
  const { card, address, alias } = dev
  if (card.mode === 'passthrough') addChardev(to, card.source, `char${alias}`, { spicevmc: 'smartcard' })
  const index = address?.type === 'ccid' ? address.controller : 0
  const reader = to.def.devices.controllers.find(one => one.type === 'ccid' && one.index === index)
  to.device({ ...cardProps(dev), id: alias, bus: `${reader?.alias}.0` })
}
