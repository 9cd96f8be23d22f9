"""USB devices that are redirected to the machine, and who brings them."""
