"""What virt-launcher calls a plugin for: DomainHookService (facts: kubevirt 3).

Method names are those of the wire.
"""

from enum import StrEnum

import grpc

from sidecar.hook.answers import Context, refuse
from sidecar.hook.api import domain_hook_v1alpha1_pb2
from sidecar.hook.api.domain_hook_v1alpha1_pb2_grpc import DomainHookServiceServicer
from sidecar.hook.definition import DomainDefinition
from sidecar.log import get_logger

log = get_logger(__name__)

CALL = "MutateDomain"
DOMAIN_TYPE = "libvirt"

NO_VMI = b'{"metadata": {}}'
"""What a caller that sends no VMI is taken to have sent: one that wishes nothing."""

_SHOWN = 40
"""Characters of a caller's word in a log line or an error."""


class InvocationContext(StrEnum):
    """Why the domain is wanted; KubeVirt's words.

    The answer is the same for each of them. On a migration's target it is thrown away, since the domain comes
    from the source; so what the source was told has to be right for both, and it is: the bus has the same
    path in every pod.
    """

    BOOT = "Boot"
    MIGRATION_SOURCE = "MigrationSource"
    MIGRATION_TARGET = "MigrationTarget"


def invocation_context(word: str) -> InvocationContext:
    """The context of that name; a missing or unknown one is taken for a boot, with a line in the log."""
    try:
        return InvocationContext(word)
    except ValueError:
        log.warning("unknown invocation context, taken for a boot", received=word[:_SHOWN])
        return InvocationContext.BOOT


class DomainHookService(DomainHookServiceServicer):
    """The plugin's only call. Whether the hook API was called before it makes no difference to the answer."""

    def __init__(self, definition: DomainDefinition) -> None:
        self._definition = definition

    async def MutateDomain(
        self, request: domain_hook_v1alpha1_pb2.MutateDomainRequest, context: Context
    ) -> domain_hook_v1alpha1_pb2.MutateDomainResponse:
        """Rewrites the domain, as OnDefineDomain does. INVALID_ARGUMENT for one that is not libvirt's."""
        if request.domain_type != DOMAIN_TYPE:
            details = f"the domain is of type {request.domain_type[:_SHOWN]!r}, not {DOMAIN_TYPE!r}"
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, details, call=CALL)
        reason = invocation_context(request.sidecar_context.invocation_context)
        log.info("virt-launcher asks its plugin for a domain", invocation=reason.value)
        domain = await self._definition.answer(request.domain, request.vmi or NO_VMI, context, call=CALL)
        return domain_hook_v1alpha1_pb2.MutateDomainResponse(domain=domain)
