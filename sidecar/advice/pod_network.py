"""Whether viewers reach the listeners at all: the machine and the sidecar share the pod's one address.

Source: KubeVirt's virt-handler, pkg/network/setup/netpod/masquerade (nftables rules) and netpod (bridge),
virt-launcher's converter/network/passt.go; docs/doctor.md has the rules.
"""

from collections.abc import Sequence
from typing import Final

from sidecar.advice.listeners import Listener, named
from sidecar.domain.vmi import Binding, Interface, Vmi
from sidecar.problems import Problem, Severity

NO_PORTS: Final = "MasqueradeWithoutPorts"
GUEST_HAS_PORT: Final = "PortGoesToGuest"
BRIDGE: Final = "BridgeTakesAddress"
PASST: Final = "PasstTakesPort"
CODES: Final = frozenset({NO_PORTS, GUEST_HAS_PORT, BRIDGE, PASST})


def check_pod_network(vmi: Vmi, listeners: Sequence[Listener]) -> list[Problem]:
    """What the machine's interfaces take away from `listeners`; at most one problem of each code."""
    found: dict[str, Problem] = {}
    for interface in vmi.interfaces:
        check = _CHECKS.get(interface.binding)
        if check is not None and interface.on_pod_network:
            found |= {problem.code: problem for problem in check(interface, listeners)}
    return list(found.values())


def _masquerade(interface: Interface, listeners: Sequence[Listener]) -> list[Problem]:
    if not listeners:
        return []
    if not interface.ports:
        # the rule for 127.0.0.1 is in the output chain: port-forward, which connects there, is led astray too
        outside = [each for each in listeners if not each.local]
        who = "kubectl port-forward" if not outside else "viewers, and kubectl port-forward,"
        return [
            Problem(
                NO_PORTS,
                Severity.DEGRADED if outside else Severity.WARNING,
                f"the masquerade interface {_shown(interface)} has no ports list, so every port of the pod "
                f"goes to the guest and {who} cannot reach {named(outside or listeners)}: list the guest's "
                "own ports in the interface (ports: [{port: 22}]) and start the machine again",
            )
        ]
    return _listed(
        interface,
        listeners,
        GUEST_HAS_PORT,
        "so it goes to the guest and nobody reaches the sidecar there: take it out of the list",
    )


def _passt(interface: Interface, listeners: Sequence[Listener]) -> list[Problem]:
    # without a list passt takes the ports that are free, and ours are not: the sidecar is there first
    return _listed(
        interface,
        listeners,
        PASST,
        "so passt wants it for the guest, cannot have it, and the machine does not start: take it out of the "
        "list",
    )


def _listed(
    interface: Interface, listeners: Sequence[Listener], code: str, consequence: str
) -> list[Problem]:
    taken = [
        each
        for each in listeners
        if any(each.port in ports for ports in interface.ports if ports.protocol == "tcp")
    ]
    if not taken:
        return []
    return [
        Problem(
            code,
            Severity.DEGRADED,
            f"the port of {named(taken)} is in the ports list of the interface {_shown(interface)}, "
            f"{consequence}, or let the sidecar listen on another port",
        )
    ]


def _bridge(interface: Interface, listeners: Sequence[Listener]) -> list[Problem]:
    outside = [each for each in listeners if not each.local]
    if not outside:
        return []
    return [
        Problem(
            BRIDGE,
            Severity.DEGRADED,
            f"the bridge interface {_shown(interface)} hands the pod's address to the guest, so nobody "
            f"outside reaches {named(outside)}: use masquerade with a ports list on the pod network, or "
            "kubectl port-forward",
        )
    ]


_CHECKS = {Binding.MASQUERADE: _masquerade, Binding.PASST: _passt, Binding.BRIDGE: _bridge}


def _shown(interface: Interface) -> str:
    # a name may be anything: it comes from the VMI
    return ascii(interface.name[:64])
