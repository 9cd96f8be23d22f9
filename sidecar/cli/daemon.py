"""`vdi-sidecar serve`, `hook` and `demo`."""

import os
from collections.abc import Callable, Coroutine
from typing import Any, get_args

import click

from sidecar.cli.setting import MEBIBYTES, SECONDS, SettingsCommand, setting
from sidecar.cli.shared import FILE, daemon_settings, domain_settings, given, only_the_first, option_values
from sidecar.config.options import (
    DEFAULT_RDP,
    DaemonOptions,
    DemoGuest,
    DemoOptions,
    HookOptions,
    ServeOptions,
)
from sidecar.log import configure
from sidecar.spare_memory import spare_memory

ATTACH = ("dbus_address", "p2p_fd", "qmp", "libvirt")


def serve_options(ctx: click.Context, values: dict[str, Any]) -> ServeOptions:
    """What `serve` would run with. Raises UsageError."""
    only_the_first(ctx, values, ATTACH)
    if not any(given(ctx, name) for name in ATTACH):
        # where QEMU's own `-display dbus` goes
        values["dbus_address"] = os.environ.get("DBUS_SESSION_BUS_ADDRESS") or None
    return ServeOptions(**option_values(ctx, values))


def hook_options(ctx: click.Context, values: dict[str, Any]) -> HookOptions:
    """What `hook` would run with. Raises UsageError."""
    return HookOptions(grace_follows_vmi=not given(ctx, "grace"), **option_values(ctx, values))


def demo_options(ctx: click.Context, values: dict[str, Any]) -> DemoOptions:
    """What `demo` would run with. Raises UsageError."""
    if not given(ctx, "rdp"):
        values["rdp"] = (DEFAULT_RDP,)
    return DemoOptions(
        next_port=not given(ctx, "vnc"), next_rdp_port=not given(ctx, "rdp"), **option_values(ctx, values)
    )


@click.command(
    cls=SettingsCommand,
    short_help="Attach to a running QEMU and serve its screen.",
    epilog="""\b
Examples:
  vdi-sidecar serve --qmp /run/vm/qmp.sock
  vdi-sidecar serve --dbus-address unix:path=/run/vm/bus --vnc :5900 --password-file /etc/vnc.password
  vdi-sidecar serve --qmp qmp.sock --vnc unix:/run/vm/vnc --web 127.0.0.1:6080
  vdi-sidecar serve --qmp qmp.sock --vnc none --rdp :3389 --password-file /etc/rdp.password

Every setting can also stand in the file of --config (max-sessions = 8) and in the environment
(VDI_SIDECAR_MAX_SESSIONS=8). QEMU needs `-display dbus,p2p=on` for --qmp, `-display dbus,addr=ADDRESS` for
--dbus-address.""",
)
@setting(
    "--dbus-address",
    section="Where the machine is",
    metavar="ADDRESS",
    show_default="$DBUS_SESSION_BUS_ADDRESS",
    help="The bus that QEMU is on.",
)
@setting("--bus-name", section="Where the machine is", metavar="NAME", help="QEMU's name on that bus.")
@setting(
    "--qmp",
    section="Where the machine is",
    type=FILE,
    metavar="SOCKET",
    help="QEMU's QMP socket; a connection is handed over by it.",
)
@setting(
    "--p2p-fd",
    section="Where the machine is",
    type=int,
    metavar="FD",
    help="An inherited descriptor of a connection to QEMU.",
)
@setting(
    "--libvirt",
    section="Where the machine is",
    metavar="URI",
    help="The libvirt that runs the machine, such as qemu:///system; with --domain.",
)
@setting("--domain", section="Where the machine is", metavar="NAME", help="Its name or UUID there.")
@setting(
    "--control-qmp",
    section="Where the machine is",
    type=FILE,
    metavar="SOCKET",
    help="A QMP socket to ask about the machine and to control it, beside --dbus-address or --p2p-fd.",
)
@daemon_settings
@click.pass_context
def serve(ctx: click.Context, /, **values: Any) -> None:
    """Attach to QEMU's D-Bus display and serve the screen to many viewers.

    Waits for QEMU to appear, and attaches again when it is back after a restart; viewers stay connected.
    """
    options = serve_options(ctx, values)

    def entry() -> Coroutine[Any, Any, None]:
        from sidecar.daemon import serve

        return serve(options)

    run_daemon(options, entry)


@click.command(
    cls=SettingsCommand,
    short_help="Be a KubeVirt hook sidecar, and serve the machine's screen.",
    epilog="""\b
Example, as KubeVirt runs it:
  vdi-sidecar hook --vnc :5900 --password-file /secrets/password

Every setting can also stand in the file of --config and in the environment
(VDI_SIDECAR_GRAPHICS=keep-vnc).""",
)
@setting(
    "--hook-dir",
    section="KubeVirt",
    type=FILE,
    metavar="DIR",
    help="Where the hook socket is put. `none`: no hook socket, the plugin API alone.",
)
@setting(
    "--plugin-socket",
    section="KubeVirt",
    type=FILE,
    metavar="PATH",
    help="Answer KubeVirt's plugin API too, on this socket below /var/run/kubevirt-plugin.",
)
@setting(
    "--bus-dir",
    section="KubeVirt",
    type=FILE,
    metavar="DIR",
    show_default="dbus beside the hook socket",
    help="Where the bus's socket is put: a directory that QEMU shares, such as a PVC's volumePath.",
)
@setting(
    "--bus-dir-for-qemu",
    section="KubeVirt",
    type=FILE,
    metavar="DIR",
    help="The same directory as QEMU's container sees it, such as a PVC's sharedComputePath; by default "
    "worked out from CONTAINER_NAME.",
)
@setting(
    "--annotate-vmi",
    section="KubeVirt",
    is_flag=True,
    help="Tell the number of sessions in annotations of the VMI; needs a service account that may patch it.",
)
@setting(
    "--grace",
    section="KubeVirt",
    type=SECONDS,
    metavar="TIME",
    show_default=False,
    help="How long a running machine keeps its viewers after SIGTERM; by default what the VMI says.",
)
@setting(
    "--leave-after",
    section="KubeVirt",
    type=SECONDS,
    metavar="TIME",
    show_default="30s",
    help="With --hook-dir none: leave when the machine has been gone for so long.",
)
@domain_settings
@daemon_settings
@click.pass_context
def hook(ctx: click.Context, /, **values: Any) -> None:
    """Answer virt-launcher's hooks, give QEMU a private bus, and serve the screen to many viewers."""
    options = hook_options(ctx, values)

    def entry() -> Coroutine[Any, Any, None]:
        from sidecar.pod import hook

        return hook(options)

    run_daemon(options, entry)


@click.command(
    cls=SettingsCommand,
    short_help="Start a guest on this machine and serve it: the quickest way to see it all.",
    epilog="""\b
Examples:
  vdi-sidecar demo
  vdi-sidecar demo --guest box --web 127.0.0.1:6080

Ctrl-C ends it and leaves nothing behind.""",
)
@setting(
    "--guest",
    section="Guest",
    type=click.Choice(get_args(DemoGuest)),
    help="debian: Debian's graphical installer; box: a tiny test picture. By default the best that is there.",
)
@setting("--memory", section="Guest", type=MEBIBYTES, metavar="SIZE", help="The guest's memory, in MiB.")
@setting("--headless", section="Guest", is_flag=True, help="Show no live table of sessions.")
@daemon_settings
@click.pass_context
def demo(ctx: click.Context, /, **values: Any) -> None:
    """Start a private bus and a QEMU guest, serve it on loopback, and say where and how to connect."""
    options = demo_options(ctx, values)

    def entry() -> Coroutine[Any, Any, None]:
        from sidecar.demo import run

        return run(options)

    run_daemon(options, entry)


def run_daemon(options: DaemonOptions, entry: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs the daemon's coroutine to its end."""
    spare_memory()
    import uvloop

    configure(options.log_level, as_json=options.log_json)
    uvloop.run(entry())
