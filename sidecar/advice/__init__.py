"""What the owner of a machine or the admin of a cluster should know: pure checks that find problems, and one
object that asks them while the daemon runs. docs/doctor.md explains every code.
"""
