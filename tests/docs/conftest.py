"""The tests of the documentation import the modules beside them."""

import sys
from pathlib import Path

import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _no_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the parts of figures where they are: placing them takes half the time of a short training.

    What figures look like is tested beside the code that draws them.
    """
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda self, fig: None)
