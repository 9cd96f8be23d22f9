"""What every protocol's server and connections have in common: listening, reading, holding back, ending."""
