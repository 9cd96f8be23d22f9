"""What the commands that make tickets and users say alike about their rights."""

import click

console_option = click.option(
    "--console",
    "consoles",
    metavar="N",
    multiple=True,
    help="The only console to be seen: its number or label, or the name of a serial port. May be repeated.",
)
