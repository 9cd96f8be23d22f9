"""vdi-qemu-vnc in qemu-vnc's place: a real bus, a real QEMU, gdbus and a D-Bus library as the manager."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from support.bus import Bus
from support.certificate import write_certificate
from support.guest_image import Mode, desktop
from support.ports import free_port
from support.processes import Process
from support.qemu import PEER_TO_PEER_DISPLAY, Qemu, dbus_display
from support.rfb_client import RfbClient
from support.rfb_session import X509_NONE, Refused
from support.rfb_wire import Encoding, Xvp, xvp
from support.stream_client import StreamClient
from support.waiting import eventually, wait_until

from sidecar.qemu.connection import Connection, connect_to_bus
from sidecar.qemu.errors import CallRefused
from sidecar.qemu.qmp import Qmp

COMMAND = (sys.executable, "-W", "error", "-m", "sidecar.drop_in.vnc_command")
NAME, SERVER = "org.qemu.vnc", "/org/qemu/Vnc1/Server"

FOLLOWING = (Encoding.RAW, Encoding.DESKTOP_SIZE)
"""Of a client that may come before the machine has its picture."""

INTERFACES = {
    "org.qemu.Vnc1.Server": """
        <method name="SetPassword"><arg name="password" type="s" direction="in"/></method>
        <method name="ExpirePassword"><arg name="time" type="s" direction="in"/></method>
        <method name="ReloadCertificates"/>
        <method name="AddClient">
          <arg name="socket" type="h" direction="in"/><arg name="skipauth" type="b" direction="in"/>
        </method>
        <signal name="ClientConnected"><arg name="client" type="o"/></signal>
        <signal name="ClientInitialized"><arg name="client" type="o"/></signal>
        <signal name="ClientDisconnected"><arg name="client" type="o"/></signal>
        <signal name="Leaving"><arg name="reason" type="s"/></signal>
        <property name="Name" type="s" access="read"/>
        <property name="Auth" type="s" access="read"/>
        <property name="VencryptSubAuth" type="s" access="read"/>
        <property name="Clients" type="ao" access="read"/>
        <property name="Listeners" type="aa{sv}" access="read"/>
    """,
    "org.qemu.Vnc1.Client": """
        <signal name="ShutdownRequest"/>
        <signal name="ResetRequest"/>
        <property name="Host" type="s" access="read"/>
        <property name="Service" type="s" access="read"/>
        <property name="Family" type="s" access="read"/>
        <property name="WebSocket" type="b" access="read"/>
        <property name="X509Dname" type="s" access="read"/>
        <property name="SaslUsername" type="s" access="read"/>
    """,
}
"""What QEMU 11.1 documents (docs/interop/dbus-vnc.rst)."""


class QemuVnc:
    """The program, started as libvirt starts it."""

    def __init__(self, bus: Bus, directory: Path, *options: str, display: str | None = None) -> None:
        self.port = free_port()
        self.bus = bus
        self.process = Process(
            [
                *(*COMMAND, f"--dbus-address={bus.address}", "--bus-name=org.qemu", "--wait"),
                *("--vnc-addr", display or f"127.0.0.1:{self.port - 5900}", *options),
            ],
            directory / f"qemu-vnc-{self.port}.log",
        )
        try:
            wait_until(self._listens, "it has its name and listens")
        except BaseException:
            self.process.kill()
            raise

    def _listens(self) -> bool:
        assert self.process.is_running, self.process.output
        return "listening" in self.process.output

    def gdbus(self, command: str, *arguments: str, path: str = SERVER) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *("gdbus", command, "--address", self.bus.address, "--dest", NAME),
                *("--object-path", path, *arguments),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def call(self, method: str, *arguments: str, path: str = SERVER) -> str:
        """What a method of the server (or the one named in full) returns; AssertionError for an error."""
        full = method if "." in method else f"org.qemu.Vnc1.Server.{method}"
        done = self.gdbus("call", "--method", full, *arguments, path=path)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def error(self, method: str, *arguments: str) -> str:
        """What a method of the server is refused with."""
        done = self.gdbus("call", "--method", f"org.qemu.Vnc1.Server.{method}", *arguments)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def get(self, name: str) -> str:
        """A property of the server, as gdbus writes it."""
        return self.call("org.freedesktop.DBus.Properties.Get", "org.qemu.Vnc1.Server", name)

    def client(self, **options: Any) -> RfbClient:
        return RfbClient(("127.0.0.1", self.port), **options)

    def refuses(self, **options: Any) -> bool:
        try:
            self.client(**options).close()
        except Refused:
            return True
        return False


@pytest.fixture
def qemu_vnc(bus: Bus, short_dir: Path) -> Iterator[Callable[..., QemuVnc]]:
    with contextlib.ExitStack() as stack:

        def start(*options: str, **more: Any) -> QemuVnc:
            program = QemuVnc(bus, short_dir, *options, **more)
            stack.callback(program.process.kill)
            return program

        yield start


class Monitor:
    """gdbus, which writes down every signal."""

    def __init__(self, bus: Bus, directory: Path, name: str = NAME) -> None:
        self.process = Process(
            ["gdbus", "monitor", "--address", bus.address, "--dest", name], directory / "monitor.log"
        )
        wait_until(lambda: "is owned by" in self.process.output, "gdbus sees the program")

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.process.output, f"gdbus sees {text}")


@pytest.fixture
def monitor(bus: Bus, short_dir: Path) -> Iterator[Callable[..., Monitor]]:
    with contextlib.ExitStack() as stack:

        def start() -> Monitor:
            monitor = Monitor(bus, short_dir)
            stack.callback(monitor.process.kill)
            return monitor

        yield start


@pytest.fixture
async def manager(bus: Bus) -> AsyncIterator[Connection]:
    """A connection that can pass file descriptors, which gdbus cannot."""
    connection = await connect_to_bus(bus.address)
    yield connection
    connection.close()


def interface(xml: str, name: str) -> str:
    """One interface of an introspection, with nothing left to chance; annotations are for compilers."""
    (found,) = ElementTree.fromstring(xml).findall(f"interface[@name='{name}']")
    return canonical(found)


def canonical(element: ElementTree.Element) -> str:
    return ElementTree.canonicalize(ElementTree.tostring(element, encoding="unicode"), strip_text=True)


def documented(name: str) -> str:
    return canonical(ElementTree.fromstring(f"<interface name='{name}'>{INTERFACES[name]}</interface>"))


def wait_for_end(program: QemuVnc) -> None:
    assert program.process.wait() == 0, program.process.output
    assert "Traceback" not in program.process.output, program.process.output


def test_a_manager_sees_clients_come_and_go_and_the_program_ends_with_qemu(
    bus: Bus,
    start_qemu: Callable[..., Qemu],
    qemu_vnc: Callable[..., QemuVnc],
    monitor: Callable[..., Monitor],
) -> None:
    program = qemu_vnc("--share=ignore", "--websocket=127.0.0.1:0")
    watching = monitor()
    # it is there to be managed before QEMU is
    assert program.get("Name") == "(<''>,)"
    qemu = start_qemu(dbus_display(bus.address))
    qemu.show(Mode.DESKTOP)
    watching.wait_for("{'Name': <'guest'>}")
    assert program.get("Auth") == "(<'none'>,)"
    assert program.get("VencryptSubAuth") == "(<''>,)"
    listeners = program.get("Listeners")
    assert (
        f"{{'Host': <'127.0.0.1'>, 'Service': <'{program.port}'>, 'Family': <'ipv4'>, "
        "'WebSocket': <false>, 'Auth': <'none'>, 'VencryptSubAuth': <''>}"
    ) in listeners
    assert listeners.count("'WebSocket': <true>") == 1
    with program.client(encodings=(*FOLLOWING, Encoding.XVP)) as client:
        path = "/org/qemu/Vnc1/Client_1"
        signal_of = "/org/qemu/Vnc1/Server: org.qemu.Vnc1.Server."
        watching.wait_for(f"{signal_of}ClientConnected (objectpath '{path}',)")
        watching.wait_for(f"{signal_of}ClientInitialized (objectpath '{path}',)")
        watching.wait_for(f"ObjectManager.InterfacesAdded (objectpath '{path}', {{'org.qemu.Vnc1.Client'")
        watching.wait_for(f"{{'Clients': <[objectpath '{path}']>}}")
        assert program.get("Clients") == f"(<[objectpath '{path}']>,)"
        for name, where in (("org.qemu.Vnc1.Server", SERVER), ("org.qemu.Vnc1.Client", path)):
            xml = program.gdbus("introspect", "--xml", path=where).stdout
            assert interface(xml, name) == documented(name)
        objects = program.call("org.freedesktop.DBus.ObjectManager.GetManagedObjects", path="/org/qemu/Vnc1")
        assert "'Host': <'127.0.0.1'>" in objects
        assert "'Family': <'ipv4'>, 'WebSocket': <false>, 'X509Dname': <''>, 'SaslUsername': <''>" in objects
        client.until_shown(desktop())
        client.send(xvp(2))
        watching.wait_for(f"{path}: org.qemu.Vnc1.Client.ShutdownRequest ()")
        client.send(xvp(4))
        watching.wait_for(f"{path}: org.qemu.Vnc1.Client.ResetRequest ()")
        # a reboot is for the guest to do, and a manager that hears nothing does nothing
        client.send(xvp(3))
        while not (isinstance(message := client.receive(), Xvp) and message == Xvp(0)):
            pass
    watching.wait_for(f"{signal_of}ClientDisconnected (objectpath '{path}',)")
    watching.wait_for(f"InterfacesRemoved (objectpath '{path}', ['org.qemu.Vnc1.Client'])")
    watching.wait_for("{'Clients': <@ao []>}")
    qemu.kill()
    watching.wait_for(f"{signal_of}Leaving ('D-Bus peer org.qemu vanished',)")
    wait_for_end(program)
    watching.wait_for("does not have an owner")


def test_the_password_is_the_managers(qemu_vnc: Callable[..., QemuVnc], dbus_qemu: Qemu) -> None:
    program = qemu_vnc("--password", "--share=ignore")
    assert program.get("Auth") == "(<'vnc'>,)"
    assert program.refuses(password="")
    program.call("SetPassword", "secret")
    assert program.refuses(password="other")
    with program.client(password="secret") as there:
        program.call("SetPassword", "changed")
        program.call("ExpirePassword", "+3600")
        program.client(password="changed").close()
        assert program.refuses(password="secret")
        program.call("ExpirePassword", "now")
        assert program.refuses(password="changed")
        # who is there stays
        there.refresh()
        program.call("ExpirePassword", "never")
        program.client(password="changed").close()
        assert "InvalidArgs" in program.error("ExpirePassword", "soon")
        program.call("SetPassword", "")
        assert program.refuses(password="")
    assert "secret" not in program.process.output
    assert "changed" not in program.process.output
    program.process.signal(signal.SIGTERM)
    wait_for_end(program)


def test_without_a_password_setting_one_is_refused(
    qemu_vnc: Callable[..., QemuVnc], dbus_qemu: Qemu, short_dir: Path
) -> None:
    path = short_dir / "vnc"
    program = qemu_vnc(display=f"unix:{path}")
    assert "start with --password" in program.error("SetPassword", "secret")
    assert "start with --tls-creds" in program.error("ReloadCertificates")
    assert f"'Service': <'{path}'>, 'Family': <'unix'>" in program.get("Listeners")
    with RfbClient(str(path)) as first:
        # QEMU's default: one that wants to be alone is
        with RfbClient(str(path), shared=False) as alone:
            alone.refresh()
            with pytest.raises(ConnectionError):
                first.until(lambda: False, "the first one is ended")
            with pytest.raises(ConnectionError):
                RfbClient(str(path))
    program.process.signal(signal.SIGTERM)
    wait_for_end(program)


async def test_certificates_are_loaded_again_and_sockets_are_taken(
    qemu_vnc: Callable[..., QemuVnc], dbus_qemu: Qemu, short_dir: Path, manager: Connection
) -> None:
    directory = short_dir / "pki"
    first = qemu_credentials(directory)
    program = qemu_vnc("--password", f"--tls-creds={directory}", "--share=ignore", "--websocket=127.0.0.1:0")
    assert program.get("Auth") == "(<'vencrypt'>,)"
    assert program.get("VencryptSubAuth") == "(<'x509-vnc'>,)"
    assert "'WebSocket': <true>, 'Auth': <'vnc'>, 'VencryptSubAuth': <''>" in program.get("Listeners")
    program.call("SetPassword", "secret")
    web_port = int(program.get("Listeners").rpartition("'Service': <'")[2].partition("'")[0])
    assert shown(program, web_port) == (first, first)
    second = qemu_credentials(directory)
    assert shown(program, web_port) == (first, first)
    program.call("ReloadCertificates")
    assert shown(program, web_port) == (second, second)
    (directory / "server-key.pem").write_text("nonsense")
    assert "cannot use" in program.error("ReloadCertificates")
    assert shown(program, web_port) == (second, second)

    async def add(descriptor: int, skip: bool) -> None:
        await manager.request(
            *(NAME, SERVER, "org.qemu.Vnc1.Server", "AddClient"),
            signature="hb",
            body=[0, skip],
            unix_fds=[descriptor],
        )

    async def greeting(skip: bool) -> bytes:
        ours, theirs = socket.socketpair()
        with theirs:
            await add(theirs.fileno(), skip)
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            assert await reader.readexactly(12) == b"RFB 003.008\n"
            writer.write(b"RFB 003.008\n")
            (count,) = await reader.readexactly(1)
            return await reader.readexactly(count)
        finally:
            writer.close()

    async with asyncio.timeout(60):
        assert await greeting(skip=True) == b"\x01"
        # nobody can listen to a unix socket: a password is asked for, TLS is not
        assert 1 not in await greeting(skip=False)
        with socket.socket() as unconnected, open(os.devnull, "rb") as no_socket:
            for descriptor in (unconnected.fileno(), no_socket.fileno()):
                with pytest.raises(CallRefused, match="InvalidArgs"):
                    await add(descriptor, True)
    await eventually(lambda: program.get("Clients") == "(<@ao []>,)", "the clients are gone")
    program.process.signal(signal.SIGTERM)
    wait_for_end(program)


def qemu_credentials(directory: Path) -> bytes:
    """A new certificate under the names that QEMU has for it; in DER."""
    certificate = write_certificate(directory)
    (directory / "tls.crt").replace(directory / "server-cert.pem")
    (directory / "tls.key").replace(directory / "server-key.pem")
    return certificate


def shown(program: QemuVnc, web_port: int) -> tuple[bytes | None, bytes | None]:
    """The certificates that VNC's own TLS and the WebSocket's show."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with program.client(password="secret", tls=context) as client:
        assert X509_NONE not in client.offered_subtypes
        sock = client._socket
        assert isinstance(sock, ssl.SSLSocket)
        of_vnc = sock.getpeercert(binary_form=True)
    with socket.create_connection(("127.0.0.1", web_port), 30) as plain:
        with context.wrap_socket(plain) as wrapped:
            return of_vnc, wrapped.getpeercert(binary_form=True)


async def test_only_character_devices_that_were_named_are_shown(
    bus: Bus, start_qemu: Callable[..., Qemu], qemu_vnc: Callable[..., QemuVnc]
) -> None:
    serial, monitor = "org.qemu.console.serial.0", "org.qemu.monitor.hmp.0"
    ports = (
        *("-chardev", f"dbus,id=serial1,name={serial}", "-serial", "chardev:serial1"),
        *("-chardev", f"dbus,id=mon0,name={monitor}", "-mon", "chardev=mon0"),
    )
    start_qemu(dbus_display(bus.address), extra=ports)
    for options, shown_ports in ((("-C", monitor), [monitor]), ((), [serial]), (("--no-vt",), [])):
        program = qemu_vnc(*options)
        async with await StreamClient.connect(("127.0.0.1", program.port)) as client:
            if shown_ports:
                await client.follow(lambda: client.streams, "a port is announced")
            await client.refresh()
            assert list(client.streams) == shown_ports
        program.process.signal(signal.SIGTERM)
        wait_for_end(program)


async def test_a_descriptor_of_qemu_itself_needs_no_bus(
    start_qemu: Callable[..., Qemu], short_dir: Path
) -> None:
    (short_dir / "vnc-password").write_text("of systemd")
    qemu = start_qemu(PEER_TO_PEER_DISPLAY, extra=("-qmp", f"unix:{short_dir}/qmp,server=on,wait=off"))
    qemu.show(Mode.DESKTOP)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        async with asyncio.timeout(60), Qmp(short_dir / "qmp") as qmp:
            await qmp.execute("getfd", {"fdname": "display"}, [theirs.fileno()])
            await qmp.execute("add_client", {"protocol": "@dbus-display", "fdname": "display"})
        path, log = short_dir / "vnc", short_dir / "qemu-vnc.log"
        with log.open("wb") as output:
            program = subprocess.Popen(
                [*COMMAND, f"--dbus-p2p-fd={ours.fileno()}", "--vnc-addr", f"unix:{path}"],
                pass_fds=[ours.fileno()],
                env={**os.environ, "CREDENTIALS_DIRECTORY": str(short_dir)},
                stderr=output,
            )
    with program:
        try:
            wait_until(
                lambda: "listening" in log.read_text() or program.poll() is not None, "it listens or fails"
            )
            with pytest.raises(Refused):
                RfbClient(str(path), password="other")
            with RfbClient(str(path), password="of systemd", encodings=FOLLOWING) as client:
                client.until_shown(desktop())
                qemu.kill()
                with pytest.raises(ConnectionError):
                    client.until(lambda: False, "the client is ended")
            assert program.wait(60) == 0, log.read_text()
            assert "QEMU has closed the connection" in log.read_text()
            assert "session disconnected session=v2 reason=gone" in log.read_text()
        finally:
            program.kill()


@pytest.mark.parametrize("program", ["vnc", "rdp"])
def test_what_keeps_it_from_starting_is_one_line(
    bus: Bus, dbus_qemu: Qemu, short_dir: Path, program: str
) -> None:
    write_certificate(short_dir)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = {
            "vnc": ["--bus-name=org.qemu", "--vnc-addr", f"127.0.0.1:{port - 5900}"],
            "rdp": [
                *("serve", "--bind-address", f"127.0.0.1:{port}"),
                *("--cert", f"{short_dir}/tls.crt", "--key", f"{short_dir}/tls.key"),
            ],
        }[program]
        command = [sys.executable, "-m", f"sidecar.drop_in.{program}_command"]
        done = subprocess.run(
            [*command, f"--dbus-address={bus.address}", *options],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == f"vdi-qemu-{program}: cannot listen on 127.0.0.1:{port}: address already in use"
    assert "Traceback" not in done.stderr


def test_without_wait_qemu_must_be_there(bus: Bus) -> None:
    done = subprocess.run(
        [*COMMAND, f"--dbus-address={bus.address}", "--bus-name=org.qemu"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == ("vdi-qemu-vnc: org.qemu is not on that bus: start QEMU first, or add --wait\n")
