"""PyRDP's machine-in-the-middle; run by PyRDP's own environment."""

from pyrdp_repairs import name_what_python_dropped, take_no_certificate

name_what_python_dropped()

# it chooses Twisted's reactor, so nothing else of PyRDP may come first
from pyrdp.bin.mitm import main  # noqa: E402

take_no_certificate()
main()
