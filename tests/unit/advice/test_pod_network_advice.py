"""Which listeners the machine's network interfaces leave to the sidecar."""

from pathlib import Path

import pytest
from support.domain_samples import DIRECTORY

from sidecar.advice.listeners import Listener, listeners_of
from sidecar.advice.pod_network import check_pod_network
from sidecar.config.address import ConsoleAddress, TcpAddress, UnixAddress
from sidecar.config.options import DaemonOptions
from sidecar.domain.vmi import Binding, Interface, PortRange, Vmi, read_vmi
from sidecar.problems import Severity

VNC = Listener("VNC", 5900, local=False)
RDP = Listener("RDP", 3389, local=False)
LOOPBACK = Listener("VNC", 5900, local=True)


def vmi(binding: Binding, *ports: PortRange, on_pod_network: bool = True) -> Vmi:
    return Vmi(interfaces=(Interface("default", binding, ports, on_pod_network),))


def port(number: int, protocol: str = "tcp") -> PortRange:
    return PortRange(number, number, protocol)


@pytest.mark.parametrize(
    ("binding", "ports", "listeners", "codes"),
    [
        (Binding.MASQUERADE, (), [VNC], ["MasqueradeWithoutPorts"]),
        (Binding.MASQUERADE, (), [LOOPBACK], ["MasqueradeWithoutPorts"]),
        (Binding.MASQUERADE, (), [], []),
        (Binding.MASQUERADE, (port(22),), [VNC, RDP], []),
        (Binding.MASQUERADE, (port(22), port(3389)), [VNC, RDP], ["PortGoesToGuest"]),
        (Binding.MASQUERADE, (port(5900),), [LOOPBACK], ["PortGoesToGuest"]),
        (Binding.MASQUERADE, (port(5900, "udp"),), [VNC], []),
        (Binding.MASQUERADE, (PortRange(5000, 6000, "tcp"),), [VNC], ["PortGoesToGuest"]),
        (Binding.MASQUERADE, (PortRange(5901, 6000, "tcp"),), [VNC], []),
        (Binding.BRIDGE, (), [VNC, LOOPBACK], ["BridgeTakesAddress"]),
        (Binding.BRIDGE, (), [LOOPBACK], []),
        (Binding.PASST, (), [VNC], []),
        (Binding.PASST, (port(22),), [VNC], []),
        (Binding.PASST, (port(5900),), [LOOPBACK], ["PasstTakesPort"]),
        (Binding.SRIOV, (), [VNC], []),
        (Binding.PLUGIN, (), [VNC], []),
        (Binding.OTHER, (), [VNC], []),
    ],
)
def test_what_is_taken_away_is_told(
    binding: Binding, ports: tuple[PortRange, ...], listeners: list[Listener], codes: list[str]
) -> None:
    assert [each.code for each in check_pod_network(vmi(binding, *ports), listeners)] == codes


@pytest.mark.parametrize("binding", list(Binding))
def test_an_interface_of_another_network_takes_nothing_from_the_pod(binding: Binding) -> None:
    assert check_pod_network(vmi(binding, port(5900), on_pod_network=False), [VNC]) == []


def test_a_machine_without_interfaces_takes_nothing() -> None:
    assert check_pod_network(Vmi(), [VNC]) == []


def test_loopback_alone_is_a_warning_and_what_was_to_be_reached_from_outside_is_not() -> None:
    (local,) = check_pod_network(vmi(Binding.MASQUERADE), [LOOPBACK])
    (outside,) = check_pod_network(vmi(Binding.MASQUERADE), [LOOPBACK, RDP])
    assert (local.severity, outside.severity) == (Severity.WARNING, Severity.DEGRADED)
    assert "port-forward cannot reach VNC (5900)" in local.message
    assert "cannot reach RDP (3389)" in outside.message


def test_the_message_names_what_is_taken_and_what_to_do() -> None:
    (problem,) = check_pod_network(vmi(Binding.MASQUERADE, port(3389)), [VNC, RDP])
    assert "RDP (3389)" in problem.message
    assert "VNC" not in problem.message
    assert "take it out of the list" in problem.message


def test_a_hostile_name_stays_on_one_line() -> None:
    interface = Interface("a\nb\ud800" + "x" * 1000, Binding.MASQUERADE, (), True)
    (problem,) = check_pod_network(Vmi(interfaces=(interface,)), [VNC])
    assert problem.message.isprintable()
    assert len(problem.message) < 500


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("*.vmi.json")), ids=lambda path: path.stem)
def test_kubevirts_default_interface_needs_a_ports_list(path: Path) -> None:
    (problem,) = check_pod_network(read_vmi(path.read_bytes()), [VNC])
    assert problem.code == "MasqueradeWithoutPorts"


def test_the_listeners_of_the_options_are_those_with_a_port_that_is_known() -> None:
    options = DaemonOptions(
        run_dir=Path("/run"),
        vnc=(TcpAddress("", 5900), UnixAddress(Path("/vnc")), TcpAddress("127.0.0.1", 0)),
        rdp=(TcpAddress("::1", 3389),),
        api=(UnixAddress(Path("/api")), TcpAddress("", 8697)),
        vnc_console=(ConsoleAddress("serial0", TcpAddress("", 5901)),),
        web=TcpAddress("10.0.2.2", 6080),
        metrics=TcpAddress("", 9090),
        insecure=True,
    )
    assert listeners_of(options) == (
        Listener("VNC", 5900, local=False),
        Listener("RDP", 3389, local=True),
        Listener("the API", 8697, local=False),
        Listener("VNC", 5901, local=False),
        Listener("the web", 6080, local=False),
        Listener("metrics", 9090, local=False),
    )
