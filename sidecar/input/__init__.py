"""From what a client types and points at to what the guest's keyboard and pointer get."""
