"""Where the program begins: signals that come while modules are still being imported.

Constraints
- Imports nothing of ours before the handlers stand: that takes half a second, in which Ctrl-C would print a traceback,
  and a hang-up (a terminal that closes, `systemctl kill -s HUP`) would end a daemon that is about to run.
"""

import signal
import sys


def run() -> None:
    """Run the program; entry point of the console script `edge-agent`."""
    python_takes_it = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if python_takes_it:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.argv[1:2] == ["run"]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from edge_agent.cli.main import run

    if python_takes_it:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
