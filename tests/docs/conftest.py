"""The tests of the documentation import the modules beside them."""

import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put figures together and write their files, but leave the canvas blank.

    Drawing would take a third of the time of the lines that run. What figures look like is tested beside the
    code that draws them.
    """
    monkeypatch.setattr(Figure, "draw", lambda self, renderer: None)
