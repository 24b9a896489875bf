"""The one error that a user's input can cause."""

from __future__ import annotations

__all__ = ["InputError", "install_hint"]


class InputError(ValueError):
    """Bad input, told in one sentence: what is wrong, where, and what was expected.

    Commands print the sentence on standard error and end with exit status 2; in Python it is an
    ordinary exception. Anything else that is raised is a bug.
    """


def install_hint(extra: str) -> str:
    """Say how to install an extra: the package is on no index, so it is named by its folder."""
    return f"pip install '.[{extra}]' in the checkout"
