"""`python -m sidecar` is `vdi-sidecar`."""

import os
import signal
import sys

if os.getpid() == 1:
    # the first process of a container has no default action: before the daemon listens for it, SIGTERM
    # would be lost, and the pod would wait for its whole grace period
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

from sidecar.cli import main

if __name__ == "__main__":
    sys.exit(main())
