"""What can be wrong with a domain or with the VMI beside it."""

from sidecar.errors import SidecarError


class DomainError(SidecarError):
    """The domain XML or the VMI is not what it should be; the text says why."""
