// Devices that come, go and change.
import { virDomainDeviceModifyFlags, virDomainModificationImpact } from '../../../conf/enums.ts'
import { flags, flagsIn, text } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import { attachDevice, detachDevice, detachDeviceAlias, updateDevice } from '../domain/config-devices.ts'
import type { QemuDomain } from '../domain/domain.ts'

const method = methodFor<QemuDomain>()

const row = { on: 'domain', acl: 'domain:write', job: 'modify', ret: {} } as const
const xml = text('XML of one device')

const { VIR_DOMAIN_DEVICE_MODIFY_FORCE, ...modifyImpact } = virDomainDeviceModifyFlags
const impactFlags = [virDomainModificationImpact, modifyImpact] as const

/** Rows by their flags: live on a running guest, which is still to come; config in the definition of its next start. */
export const device = {
  /** Adds a device to a running guest. */
  virDomainAttachDevice: method({
    ...row,
    since: '0.1.9',
    needs: 'active',
    args: { xml },
    run(domain, { xml }) {
      attachDevice(domain, xml, { live: domain.def })
      return {}
    }
  }),

  /** Adds a device; a disk's target, a controller's index and the like must be free. */
  virDomainAttachDeviceFlags: method({
    ...row,
    since: '0.7.7',
    impact: 'both',
    args: { xml, flags: flagsIn({ function: 'qemuDomainAttachDeviceLiveAndConfig' }, ...impactFlags) },
    run(domain, { xml }, meant) {
      attachDevice(domain, xml, meant)
      return {}
    }
  }),

  /** Removes a device from a running guest. */
  virDomainDetachDevice: method({
    ...row,
    since: '0.1.9',
    needs: 'active',
    args: { xml },
    run(domain, { xml }) {
      detachDevice(domain, xml, { live: domain.def })
      return {}
    }
  }),

  /** Removes the device described: a disk by its target, a card by address or place, others by what they are. */
  virDomainDetachDeviceFlags: method({
    ...row,
    since: '0.7.7',
    impact: 'both',
    args: { xml, flags: flagsIn({ function: 'qemuDomainDetachDeviceLiveAndConfig' }, ...impactFlags) },
    run(domain, { xml }, meant) {
      detachDevice(domain, xml, meant)
      return {}
    }
  }),

  /** Removes the device with that alias; in a definition only users' aliases, `ua-…`, are known. */
  virDomainDetachDeviceAlias: method({
    ...row,
    since: '4.4.0',
    impact: 'both',
    args: {
      alias: text(),
      flags: flagsIn({ function: 'qemuDomainDetachDeviceAliasLiveAndConfig' }, ...impactFlags)
    },
    run(domain, { alias }, meant) {
      detachDeviceAlias(domain, alias, meant)
      return {}
    }
  }),

  /** Replaces the description of a disk, screen, network card or memory module. */
  virDomainUpdateDeviceFlags: method({
    ...row,
    since: '0.8.0',
    impact: 'both',
    args: { xml, flags: flags(...impactFlags, { VIR_DOMAIN_DEVICE_MODIFY_FORCE }) },
    run(domain, { xml }, meant) {
      updateDevice(domain, xml, meant)
      return {}
    }
  })
}
