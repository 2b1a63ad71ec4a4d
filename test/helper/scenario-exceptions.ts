// The commands of test/data/scenario whose answers are known to differ from libvirtd's, and why. APIs that are not there yet
// need no line here.

export const EXCEPTIONS: readonly { lines: RegExp; why: string }[] = [
  { lines: /^uri$/, why: 'virsh tells the URI it was given; that of a socket names the socket' },
  { lines: /--validate|^define \$D\/resource/, why: 'the words of a schema violation are ours (docs/parity.md)' },
  { lines: /emulator2\.xml$/, why: 'a probe of /bin/true ends in a race for its pid file on libvirtd' },
  { lines: /prefix\.xml$/, why: 'a root element with an unknown namespace prefix is read by its local name' },
  { lines: /^vcpupin \$G$/, why: 'virsh says nothing of an API that is not there' },
  { lines: /^domstats .*--list-running$/, why: 'times of a guest that runs' },
  { lines: /^migrate \$G \$A --unsafe --live/, why: 'a guest may go to another root of its host, but not to its own' },
  { lines: /--source lease|--pass-fds/, why: 'leases and descriptors that clients pass are not there yet' }
]
