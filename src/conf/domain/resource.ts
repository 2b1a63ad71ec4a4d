// <resource>: where the guest is accounted, and how it is registered with the host.
import { attr, child, childAttr, childText, type Fields } from '../element.ts'
import { enumOf, string } from '../scalar.ts'

export const resourceFields = {
  resource: child('resource', {
    /** virshim's own: none stays in the caller's cgroup; direct is an alias of cgroup */
    register: attr('register', enumOf('none', 'cgroup', 'direct', 'machined', 'systemd')),
    partition: childText('partition', string),
    fibrechannelAppid: childAttr('fibrechannel', 'appid', string)
  })
} satisfies Fields
