"""The error that a command shows as one sentence with exit code 1; bad use is a ValueError (exit code 2), all else is a bug.

>>> raise RunError("200 scenes in a row gave no trace. Allow other types.")
"""


class RunError(RuntimeError):
    """What was asked is possible, but it was tried and did not work; says why and what to do."""
