"""What virt-launcher calls: Info and the three versions of Callbacks (facts: kubevirt 1).

Method names are those of the wire.
"""

from collections.abc import Callable

from sidecar.hook.answers import Context
from sidecar.hook.api import (
    callbacks_v1alpha1_pb2,
    callbacks_v1alpha2_pb2,
    callbacks_v1alpha3_pb2,
    info_pb2,
)
from sidecar.hook.api.callbacks_v1alpha1_pb2_grpc import CallbacksServicer as CallbacksV1alpha1Servicer
from sidecar.hook.api.callbacks_v1alpha2_pb2_grpc import CallbacksServicer as CallbacksV1alpha2Servicer
from sidecar.hook.api.callbacks_v1alpha3_pb2_grpc import CallbacksServicer as CallbacksV1alpha3Servicer
from sidecar.hook.api.info_pb2_grpc import InfoServicer
from sidecar.hook.definition import DomainDefinition
from sidecar.log import get_logger

log = get_logger(__name__)

VERSIONS = ("v1alpha1", "v1alpha2", "v1alpha3")
HOOK_POINTS = ("OnDefineDomain", "Shutdown")
"""Never PreCloudInitIso: a VMI without cloud-init makes virt-launcher panic there (facts: kubevirt 1.4)."""
CALL = "OnDefineDomain"


class InfoService(InfoServicer):
    """Says which hook points this sidecar wants to be called at. `priority`: higher is called earlier."""

    def __init__(self, name: str, priority: int) -> None:
        self._result = info_pb2.InfoResult(
            name=name,
            hookPoints=[info_pb2.HookPoint(name=point, priority=priority) for point in HOOK_POINTS],
            versions=VERSIONS,
        )

    async def Info(self, _request: info_pb2.InfoParams, _context: Context) -> info_pb2.InfoResult:
        """What virt-launcher asks first, within a second."""
        log.info("virt-launcher has found the hook socket")
        return self._result


class CallbacksV1alpha1(CallbacksV1alpha1Servicer):
    """KubeVirt's first version: OnDefineDomain alone."""

    def __init__(self, definition: DomainDefinition) -> None:
        self._definition = definition

    async def OnDefineDomain(
        self, request: callbacks_v1alpha1_pb2.OnDefineDomainParams, context: Context
    ) -> callbacks_v1alpha1_pb2.OnDefineDomainResult:
        """Rewrites the domain."""
        domain = await self._definition.answer(request.domainXML, request.vmi, context, call=CALL)
        return callbacks_v1alpha1_pb2.OnDefineDomainResult(domainXML=domain)


class CallbacksV1alpha2(CallbacksV1alpha2Servicer):
    """Adds PreCloudInitIso, which is answered although nobody was asked to call it."""

    def __init__(self, definition: DomainDefinition) -> None:
        self._definition = definition

    async def OnDefineDomain(
        self, request: callbacks_v1alpha2_pb2.OnDefineDomainParams, context: Context
    ) -> callbacks_v1alpha2_pb2.OnDefineDomainResult:
        """Rewrites the domain."""
        domain = await self._definition.answer(request.domainXML, request.vmi, context, call=CALL)
        return callbacks_v1alpha2_pb2.OnDefineDomainResult(domainXML=domain)

    async def PreCloudInitIso(
        self, request: callbacks_v1alpha2_pb2.PreCloudInitIsoParams, _context: Context
    ) -> callbacks_v1alpha2_pb2.PreCloudInitIsoResult:
        """Gives both sources back as they came."""
        return callbacks_v1alpha2_pb2.PreCloudInitIsoResult(
            cloudInitNoCloudSource=request.cloudInitNoCloudSource, cloudInitData=request.cloudInitData
        )


class CallbacksV1alpha3(CallbacksV1alpha3Servicer):
    """Adds Shutdown. `shutdown_answered` is called when virt-launcher has the answer to it."""

    def __init__(self, definition: DomainDefinition, shutdown_answered: Callable[[], None]) -> None:
        self._definition = definition
        self._shutdown_answered = shutdown_answered

    async def OnDefineDomain(
        self, request: callbacks_v1alpha3_pb2.OnDefineDomainParams, context: Context
    ) -> callbacks_v1alpha3_pb2.OnDefineDomainResult:
        """Rewrites the domain."""
        domain = await self._definition.answer(request.domainXML, request.vmi, context, call=CALL)
        return callbacks_v1alpha3_pb2.OnDefineDomainResult(domainXML=domain)

    async def PreCloudInitIso(
        self, request: callbacks_v1alpha3_pb2.PreCloudInitIsoParams, _context: Context
    ) -> callbacks_v1alpha3_pb2.PreCloudInitIsoResult:
        """Gives both sources back as they came."""
        return callbacks_v1alpha3_pb2.PreCloudInitIsoResult(
            cloudInitNoCloudSource=request.cloudInitNoCloudSource, cloudInitData=request.cloudInitData
        )

    async def Shutdown(
        self, _request: callbacks_v1alpha3_pb2.ShutdownParams, context: Context
    ) -> callbacks_v1alpha3_pb2.ShutdownResult:
        """QEMU has exited: lets everything go, but not before the answer is out."""
        log.info("virt-launcher has called Shutdown")
        # its stub takes the callback for a class of its own
        context.add_done_callback(self._answered)  # type: ignore[arg-type]
        return callbacks_v1alpha3_pb2.ShutdownResult()

    def _answered(self, _context: Context) -> None:
        self._shutdown_answered()
