"""DGL, imported once, with the repairs that its PyPI wheels need. Nothing else imports DGL itself.

DGL 1.1.3 (Python up to 3.11) and 2.1.0 (up to 3.12) are the newest wheels on PyPI. Both were built
for older companions:

* both fall back on ``setuptools.extern`` for ``packaging``; setuptools dropped that alias in
  version 71;
* 2.1.0 imports GraphBolt, a data-loading library that needs ``torchdata.datapipes`` (gone since
  torchdata 0.10) and a binary for the exact torch version.

The repair gives the alias back, and puts an empty placeholder in GraphBolt's place. Each is made only
after DGL failed to import by itself; nothing is written to disk.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kg_builders.errors import InputError

__all__ = ["dgl", "import_dgl", "single_dgl_thread"]

_INSTALL = "install it with: pip install 'dgl==2.1.0' pandas packaging"


class _GraphBoltPlaceholder(ModuleType):
    """Stands for ``dgl.graphbolt`` until something asks for what it does not have."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"dgl.graphbolt.{name} is not available: GraphBolt does not load with this torch"
        )


def _alias_packaging() -> None:
    """Offer ``packaging`` under the name ``setuptools.extern.packaging``."""
    packaging = importlib.import_module("packaging")
    version = importlib.import_module("packaging.version")
    extern = ModuleType("setuptools.extern")
    extern.__path__ = []
    extern.packaging = packaging  # type: ignore[attr-defined]
    sys.modules["setuptools.extern"] = extern
    sys.modules["setuptools.extern.packaging"] = packaging
    sys.modules["setuptools.extern.packaging.version"] = version


def _replace_graphbolt() -> None:
    """Put a placeholder where DGL looks for GraphBolt."""
    sys.modules["dgl.graphbolt"] = _GraphBoltPlaceholder("dgl.graphbolt")


def _repair_for(error: BaseException) -> Callable[[], None] | None:
    """Return the repair for an import error, or None where there is none."""
    text = f"{getattr(error, 'name', '') or ''} {error}".lower()
    if "setuptools" in text:
        return _alias_packaging
    if "torchdata" in text or "graphbolt" in text:
        return _replace_graphbolt
    return None


def _forget_dgl() -> None:
    """Drop the half-imported modules of a failed import, so that the next try starts afresh."""
    for name in [name for name in sys.modules if name == "dgl" or name.startswith("dgl.")]:
        if not isinstance(sys.modules[name], _GraphBoltPlaceholder):
            del sys.modules[name]


def import_dgl() -> ModuleType:
    """Import DGL, with as few repairs as it needs.

    Returns
    -------
    module
        The ``dgl`` package.

    Raises
    ------
    InputError
        If DGL is not installed, or does not import even after the repairs. The message says what to
        install.
    """
    # Without this, DGL prints a notice and writes a file into the home directory.
    os.environ.setdefault("DGLBACKEND", "pytorch")
    applied: list[Callable[[], None]] = []
    while True:
        try:
            return importlib.import_module("dgl")
        except ModuleNotFoundError as error:
            if error.name == "dgl":
                raise InputError(f"DGL is not installed; {_INSTALL}") from error
            failure: Exception = error
        except (ImportError, OSError, AttributeError, RuntimeError) as error:
            failure = error
        repair = _repair_for(failure)
        if repair is None or repair in applied:
            raise _beyond_repair(failure) from failure
        _forget_dgl()
        try:
            repair()
        except ImportError as error:
            raise _beyond_repair(error) from failure
        applied.append(repair)


def _beyond_repair(failure: BaseException) -> InputError:
    # Loaders' messages run over many lines; the first says what is wrong.
    reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
    return InputError(f"DGL does not import ({reason}); {_INSTALL}")


if TYPE_CHECKING:
    import dgl
else:
    dgl = import_dgl()


@contextmanager
def single_dgl_thread() -> Iterator[None]:
    """Keep DGL on the calling thread, and give it back the threads that it had.

    Each of DGL's threads draws from a random stream of its own, so what DGL samples with several threads
    depends on how they share the work.
    """
    before = dgl.utils.get_num_threads()
    dgl.utils.set_num_threads(1)
    try:
        yield
    finally:
        dgl.utils.set_num_threads(before)
