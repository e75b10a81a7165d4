"""The base of every error a user can act on."""


class IcmError(Exception):
    """Something a user can mend. The message names the value, the limit and the way out, in one line."""
