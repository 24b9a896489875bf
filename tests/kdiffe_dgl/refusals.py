"""What commands say of bad input."""

from __future__ import annotations

from click.testing import Result


def refused(result: Result) -> str:
    """Check that a command was refused as all are, and return the sentence."""
    assert result.exit_code == 2, result.output
    assert len(result.stderr.strip().splitlines()) == 1
    return result.stderr
