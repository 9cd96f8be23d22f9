"""One daemon beside one virtual machine that lets many people see, hear and drive it at once."""

__version__ = "0.1.0"
