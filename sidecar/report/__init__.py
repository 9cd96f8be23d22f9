"""The status to the outside: annotations of the VMI, and metrics for Prometheus."""
