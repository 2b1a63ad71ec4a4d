// Devices that come, go and change.
import { virDomainDeviceModifyFlags, virDomainModificationImpact } from '../../../conf/enums.ts'
import { flags, flagsIn, text } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const method = methodFor<QemuDomain>()

/** Loaded on use: most guests keep the devices of their start. */
const hotplug = () => import('../hotplug/devices.ts')

const row = { on: 'domain', acl: 'domain:write', job: 'modify', ret: {} } as const
const xml = text('XML of one device')

const { VIR_DOMAIN_DEVICE_MODIFY_FORCE, ...modifyImpact } = virDomainDeviceModifyFlags
const impactFlags = [virDomainModificationImpact, modifyImpact] as const

/** Rows by their flags: live on a running guest, config in the definition of its next start. */
export const device = {
  /** Adds a device to a running guest. */
  virDomainAttachDevice: method({
    ...row,
    since: '0.1.9',
    needs: 'active',
    args: { xml },
    async run(domain, { xml }) {
      await (await hotplug()).attachDevice(domain, xml, { live: domain.def })
      return {}
    }
  }),

  /** Adds a device; a disk's target, a controller's index and the like must be free. */
  virDomainAttachDeviceFlags: method({
    ...row,
    since: '0.7.7',
    impact: 'both',
    args: { xml, flags: flagsIn({ function: 'qemuDomainAttachDeviceLiveAndConfig' }, ...impactFlags) },
    async run(domain, { xml }, meant) {
      await (await hotplug()).attachDevice(domain, xml, meant)
      return {}
    }
  }),

  /** Removes a device from a running guest. */
  virDomainDetachDevice: method({
    ...row,
    since: '0.1.9',
    needs: 'active',
    args: { xml },
    async run(domain, { xml }) {
      await (await hotplug()).detachDevice(domain, xml, { live: domain.def })
      return {}
    }
  }),

  /** Removes the device described: a disk by its target, a card by address or place, others by what they are. */
  virDomainDetachDeviceFlags: method({
    ...row,
    since: '0.7.7',
    impact: 'both',
    args: { xml, flags: flagsIn({ function: 'qemuDomainDetachDeviceLiveAndConfig' }, ...impactFlags) },
    async run(domain, { xml }, meant) {
      await (await hotplug()).detachDevice(domain, xml, meant)
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
    async run(domain, { alias }, meant) {
      await (await hotplug()).detachDeviceAlias(domain, alias, meant)
      return {}
    }
  }),

  /** Replaces the description of a disk, screen, network card or memory module. */
  virDomainUpdateDeviceFlags: method({
    ...row,
    since: '0.8.0',
    impact: 'both',
    args: { xml, flags: flags(...impactFlags, { VIR_DOMAIN_DEVICE_MODIFY_FORCE }) },
    async run(domain, { xml, flags: bits }, meant) {
      await (await hotplug()).updateDevice(domain, xml, meant, (bits & VIR_DOMAIN_DEVICE_MODIFY_FORCE) !== 0)
      return {}
    }
  })
}
