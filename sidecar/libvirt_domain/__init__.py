"""A domain of libvirt's: the way to its screen, what is known of it, and what can be done to it.

libvirt-python is an extra, and is loaded only by who makes one of this room's two classes: `LibvirtAttach`
and `LibvirtMachine`.
"""
