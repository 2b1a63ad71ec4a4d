#!/usr/bin/python3
"""Runs a program in a terminal of its own: in-terminal.py STEPS PROGRAM [ARGUMENT...]

STEPS is a JSON array of ["expect", TEXT], ["send", TEXT] and ["echo", TEXT], which sends until that comes back: what is
typed before a program has prepared the terminal may be lost. The terminal itself gives nothing back. Prints what the program wrote, and ends with its status;
with 90 when an expected text did not come in time.
"""
import json
import os
import pty
import select
import sys
import termios
import time

LIMIT_S = 20
TOO_LATE = 90


def main():
    steps = json.loads(sys.argv[1])
    child, terminal = pty.fork()
    if child == 0:
        modes = termios.tcgetattr(0)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(0, termios.TCSANOW, modes)
        os.execvp(sys.argv[2], sys.argv[2:])
    written = b''

    def receive(timeout):
        """False at the end."""
        nonlocal written
        if not select.select([terminal], [], [], timeout)[0]:
            return True
        try:
            said = os.read(terminal, 4096)
        except OSError:
            return False
        written += said
        return bool(said)

    at = 0
    late = False
    for what, text in steps:
        if what == 'send':
            os.write(terminal, text.encode('latin1'))
            continue
        wanted = text.encode('latin1')
        deadline = time.monotonic() + LIMIT_S
        again = 0.0
        while wanted not in written[at:] and time.monotonic() < deadline:
            if what == 'echo' and time.monotonic() >= again:
                os.write(terminal, wanted)
                again = time.monotonic() + 0.5
            if not receive(0.1):
                break
        late = late or wanted not in written[at:]
        at = max(at, written.find(wanted, at) + len(wanted))
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline and receive(0.1):
        pass
    if time.monotonic() >= deadline:
        os.kill(child, 9)
        late = True
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.stdout.buffer.write(written)
    sys.stdout.flush()
    sys.exit(TOO_LATE if late else status)


main()
