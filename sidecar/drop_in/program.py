"""How both programs run their services."""

from collections.abc import Callable, Coroutine
from typing import Any

from sidecar.log import configure
from sidecar.spare_memory import spare_memory


def run_service(entry: Callable[[], Coroutine[Any, Any, None]], *, debug: bool = False) -> None:
    """Runs a service to its end; its log goes to stderr, which libvirt keeps."""
    spare_memory()
    import uvloop

    configure("debug" if debug else "info")
    uvloop.run(entry())
