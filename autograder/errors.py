"""The one exception that reaches a user as a sentence instead of a traceback."""


class UsageError(Exception):
    """Bad input or bad configuration: what is wrong, where, and what to do. The command line exits with 4."""
