"""The gRPC side of a KubeVirt sidecar: hook callbacks, plugin API and session status on its unix sockets.

`sidecar.hook.server` loads gRPC, which costs some 15 MB: import it only where a hook socket is wanted.
`sidecar.hook.termination` does not load it.
"""

import os

# gRPC reads it when it is loaded. Its fork handlers are for programs that go on to use gRPC in the child;
# here children are other programs, and the handlers would only write to stderr at each of them.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
