"""Serial ports that many share: who reads, who writes, and what was said before."""
