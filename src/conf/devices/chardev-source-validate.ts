// Checks of the host side of a character device (virDomainChrSourceDefValidate).
import type { DomainDef } from '../domain-def.ts'
import { errorsFrom } from '../error.ts'
import type { ChardevSource, Reconnect } from './chardev-source.ts'
import { validateSeclabelOverrides } from './seclabel-override.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const CHANNEL_NAME = /^[\w.-]*$/

const missingSource = (what: string) =>
  fail('VIR_ERR_INTERNAL_ERROR', `Missing source ${what} attribute for char device`)

function checkReconnect({ mode: side, reconnect }: { mode: string; reconnect?: Reconnect }): void {
  // libvirt asks whether the setting is there at all: enabled='no' is refused as well
  if (side === 'bind' && reconnect) {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'chardev reconnect is possible only for connect mode')
  }
}

/**
 * Checks that a backend has what its type needs, and its labels (virDomainChrSourceDefValidate).
 * @param pathless a unix socket may do without a path: one is made up for it
 * @throws VIR_ERR_INTERNAL_ERROR, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_INVALID_ARG
 */
export function validateChardevSource(source: ChardevSource, def: DomainDef, pathless = false): void {
  validateBackend(source, pathless)
  validateSeclabelOverrides(source.seclabels, def)
}

function validateBackend(source: ChardevSource, pathless: boolean): void {
  switch (source.type) {
    case 'file':
    case 'dev':
    case 'pipe':
      if (source.path === undefined) throw missingSource('path')
      break
    case 'nmdm':
      if ((source.master === undefined) !== (source.slave === undefined)) {
        throw fail('VIR_ERR_INTERNAL_ERROR', 'Should define both master and slave path attributes for nmdm device')
      }
      break
    case 'tcp':
      if (source.host === undefined) throw missingSource('host')
      if (source.service === undefined) throw missingSource('service')
      checkReconnect(source)
      break
    case 'udp':
      if (source.connectService === undefined) throw missingSource('service')
      break
    case 'unix':
      if (source.path === undefined && !pathless) throw missingSource('path')
      checkReconnect(source)
      break
    case 'spiceport':
    case 'dbus':
      if (source.channel === undefined) {
        throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Missing source channel attribute for char device')
      }
      if (!CHANNEL_NAME.test(source.channel)) {
        throw fail('VIR_ERR_INVALID_ARG', 'Invalid character in source channel for char device')
      }
  }
}
