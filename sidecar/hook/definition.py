"""The rewrite of a domain as virt-launcher's calls reach it, by whichever API: one at a time, with codes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import grpc

from sidecar.errors import NotReady, SidecarError
from sidecar.hook.answers import Context, fail, one_line, refuse
from sidecar.log import get_logger

log = get_logger(__name__)

DefineDomain: TypeAlias = Callable[[bytes, bytes], Awaitable[bytes]]
"""Domain XML and VMI (JSON) in, domain XML out, the same in every call of a boot and on both sides of a live
migration. Its SidecarError is told to virt-launcher."""

MAX_ANSWER = 4 * 1024 * 1024
"""Bytes; virt-launcher's gRPC client takes no longer message."""
MAX_REQUEST = MAX_ANSWER + 2 * 1024 * 1024
"""Bytes: the longest domain XML that an answer could carry, and the longest VMI that etcd keeps, 1.5 MiB."""

ABANDONED_SECONDS = 2.0
"""For a definition whose caller has gone, before the next one begins."""

_ANSWER_FRAMING = 16
"""Bytes of tag and length around the domain XML, rounded up."""


class DomainDefinition:
    """Calls `define_domain`, one call after another, and makes gRPC errors of its exceptions."""

    def __init__(self, define_domain: DefineDomain) -> None:
        self._define_domain = define_domain
        self._one_at_a_time = asyncio.Lock()

    async def answer(self, domain: bytes, vmi: bytes, context: Context, *, call: str) -> bytes:
        """The rewritten domain, or the end of the call: FAILED_PRECONDITION with the text of a NotReady,
        INVALID_ARGUMENT with that of another SidecarError, RESOURCE_EXHAUSTED when virt-launcher could not
        take the answer, INTERNAL for the rest. `call`: what was called, for the log.
        """
        failure: Exception
        async with self._one_at_a_time:
            try:
                defined = await self._defined(domain, vmi, call)
            except Exception as error:
                failure = error
            else:
                if len(defined) > MAX_ANSWER - _ANSWER_FRAMING:
                    details = (
                        f"the domain XML is {len(defined)} bytes long now, virt-launcher takes {MAX_ANSWER}"
                    )
                    await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, details, call=call)
                log.info("domain defined", call=call, received=len(domain), answered=len(defined))
                return defined
        if isinstance(failure, NotReady):
            await refuse(context, grpc.StatusCode.FAILED_PRECONDITION, one_line(failure), call=call)
        if isinstance(failure, SidecarError):
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, one_line(failure), call=call)
        await fail(context, failure, call=call)

    async def _defined(self, domain: bytes, vmi: bytes, call: str) -> bytes:
        """Goes on for a while without the caller: the work has threads that nobody can stop, and those of the
        next call would come on top of them.
        """
        work = asyncio.ensure_future(self._define_domain(domain, vmi))
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            log.info("the caller has gone before its domain was defined", call=call)
            await asyncio.wait({work}, timeout=ABANDONED_SECONDS)
            work.cancel()
            work.add_done_callback(_for_nobody)
            raise
        return work.result()


def _for_nobody(work: asyncio.Future[bytes]) -> None:
    if not work.cancelled():
        work.exception()  # else asyncio says that nobody has asked for it
