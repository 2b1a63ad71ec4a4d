// What a guest is called and described as.
import { info } from '../../../src/client/commands/info.ts'
import { BOOM, checkRows, uuidOf } from '../../helper/command-rows.ts'
import { Refused } from '../../helper/stand-in-api.ts'

process.env.VISUAL = 'sed -i s/old/new/'

await checkRows(info, [
  ['domname 3', {}, [], 'tiny\n'],
  ['domid 3', {}, [], '12\n'],
  [`domname ${uuidOf(2).toUpperCase()}`, {}, [], 'off\n'],
  ['domname tiny', {}, [], '', ["failed to get domain 'tiny'"]],
  ['domid off', {}, [], '-\n'],
  ['domuuid Zed', {}, [], `${uuidOf(5)}\n`],
  ['domuuid zed', {}, [], '', ["failed to get domain 'zed'"]],
  ['domuuid -1', {}, [], '', ["failed to get domain '-1'"]],

  [
    'desc tiny',
    { virDomainGetMetadata: { metadata: 'Two\nlines' } },
    ['virDomainGetMetadata {"type":0,"flags":0}'],
    'Two\nlines'
  ],
  [
    'desc tiny --title --config',
    { virDomainGetMetadata: new Refused('no title', 80) },
    ['virDomainGetMetadata {"type":1,"flags":2}'],
    'No title for domain: tiny'
  ],
  ['desc tiny', { virDomainGetMetadata: BOOM }, ['virDomainGetMetadata {"type":0,"flags":0}'], '', ['it went wrong']],
  [
    'desc tiny --live --config --new-desc a "b  c"',
    { virDomainSetMetadata: {} },
    ['virDomainSetMetadata {"type":0,"metadata":"a b  c","flags":3}'],
    'Domain description updated successfully'
  ],
  [
    'desc tiny --title --new-desc a',
    { virDomainSetMetadata: BOOM },
    ['virDomainSetMetadata {"type":1,"metadata":"a","flags":0}'],
    '',
    ['Failed to set new domain title', 'it went wrong']
  ],
  ['desc tiny --current --live', {}, [], '', ['Options --current and --live are mutually exclusive']],
  ['domhostname tiny', { virDomainGetHostname: { hostname: 'h' } }, ['virDomainGetHostname {"flags":0}'], 'h\n'],
  [
    'domhostname tiny --source agent',
    { virDomainGetHostname: BOOM },
    ['virDomainGetHostname {"flags":2}'],
    '',
    ['failed to get hostname', 'it went wrong']
  ],
  ['domhostname tiny --source dns', {}, [], '', ["Unknown data source 'dns'"]],
  [
    'dumpxml tiny --xpath //@a --wrap',
    { virDomainGetXMLDesc: { xml: "<domain a='1'><b a='2'/></domain>" } },
    ['virDomainGetXMLDesc {"flags":0}'],
    '<nodes a="2"/>\n'
  ],
  [
    'metadata tiny urn:x --edit --key k',
    { virDomainGetMetadata: { metadata: 'old' }, virDomainSetMetadata: {} },
    [
      'virDomainGetMetadata {"type":2,"uri":"urn:x","flags":0}',
      'virDomainGetMetadata {"type":2,"uri":"urn:x","flags":0}',
      'virDomainSetMetadata {"type":2,"metadata":"new","key":"k","uri":"urn:x","flags":0}'
    ],
    'Metadata modified\n'
  ],
  ['metadata tiny urn:x --edit', {}, [], '', ['namespace key is required when modifying metadata']],
  ['dumpxml tiny', { virDomainGetXMLDesc: { xml: '<domain/>\n' } }, ['virDomainGetXMLDesc {"flags":0}'], '<domain/>\n'],
  [
    'dumpxml tiny --inactive --security-info --update-cpu --migratable',
    { virDomainGetXMLDesc: BOOM },
    ['virDomainGetXMLDesc {"flags":15}'],
    '',
    ['it went wrong']
  ],
  [
    'metadata tiny urn:x --live',
    { virDomainGetMetadata: { metadata: '<a/>' } },
    ['virDomainGetMetadata {"type":2,"uri":"urn:x","flags":1}'],
    '<a/>\n'
  ],
  [
    'metadata tiny urn:x --key k --set <a/>',
    { virDomainSetMetadata: {} },
    ['virDomainSetMetadata {"type":2,"metadata":"<a/>","key":"k","uri":"urn:x","flags":0}'],
    'Metadata modified\n'
  ],
  [
    'metadata tiny urn:x --remove',
    { virDomainSetMetadata: {} },
    ['virDomainSetMetadata {"type":2,"uri":"urn:x","flags":0}'],
    'Metadata removed\n'
  ],
  [
    'metadata tiny urn:x',
    { virDomainGetMetadata: new Refused('metadata not found', 80) },
    ['virDomainGetMetadata {"type":2,"uri":"urn:x","flags":0}'],
    '\n'
  ],
  ['metadata tiny urn:x --set <a/>', {}, [], '', ['namespace key is required when modifying metadata']],
  ['metadata tiny urn:x --set <a/> --remove', {}, [], '', ['Options --remove and --set are mutually exclusive']]
])
