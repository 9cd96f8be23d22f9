"""`vdi-sidecar completion`."""

import click
from click.shell_completion import get_completion_class


@click.command(
    short_help="Print a completion script for a shell.",
    epilog="""\b
Examples:
  vdi-sidecar completion bash > ~/.local/share/bash-completion/completions/vdi-sidecar
  vdi-sidecar completion zsh > ~/.zfunc/_vdi-sidecar
  vdi-sidecar completion fish > ~/.config/fish/completions/vdi-sidecar.fish""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands, options and session ids."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"this version of click cannot complete for {shell}")
    root = ctx.find_root()
    click.echo(kind(root.command, {}, "vdi-sidecar", "_VDI_SIDECAR_COMPLETE").source())
