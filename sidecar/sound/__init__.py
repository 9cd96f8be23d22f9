"""Sound as data: forms of samples, mixing and resampling; no I/O."""
