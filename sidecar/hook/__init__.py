"""The gRPC side of a KubeVirt sidecar: the hook callbacks and the session status service on one unix socket.

`sidecar.hook.server` loads gRPC, which costs some 14 MB: import it only where a hook socket is wanted.
`sidecar.hook.termination` does not load it.
"""
