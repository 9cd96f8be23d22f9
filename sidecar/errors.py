"""The errors that reach a person: one line that says what to do."""


class SidecarError(Exception):
    """Base of every error of this package whose text is meant for a person.

    The command line prints it as one line on stderr and exits with `exit_code`.
    """

    exit_code = 1


class UsageError(SidecarError):
    """The options contradict each other or name something that cannot be."""

    exit_code = 2


class NotReady(SidecarError):
    """What was asked for cannot be done as things stand; once they are mended, it may be asked again."""
