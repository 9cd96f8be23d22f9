"""Text that is copied at one place and pasted at another."""
