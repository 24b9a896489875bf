"""The one interface of encoders: raw texts, pictures or sounds in, a matrix of numbers out."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from kg_builders.config import StrictModel
from kg_builders.errors import InputError, install_hint

__all__ = [
    "Encoded",
    "Encoder",
    "Progress",
    "RawInput",
    "UnreadableError",
    "import_extra",
    "library_versions",
]

RawInput: TypeAlias = str | Path | None
"""A text, or the path of a picture or a sound; ``None`` where an item has none."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of items done and the number of all."""

SettingsT = TypeVar("SettingsT", bound=StrictModel)


class UnreadableError(Exception):
    """An input that can't be encoded, with the reason; it becomes a missing one."""


@dataclass(frozen=True)
class Encoded:
    """Some encoded items.

    Parameters
    ----------
    matrix
        float32 [items, width], finite; zeros where there is nothing.
    problems
        Position of an item without a row to the reason: no input, or one that can't be read.
    """

    matrix: NDArray[np.float32]
    problems: Mapping[int, str]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """[items], true where the row stands for nothing."""
        mask = np.zeros(len(self.matrix), dtype=bool)
        mask[list(self.problems)] = True
        return mask


class Encoder(ABC, Generic[SettingsT]):
    """Turns the inputs of items into rows of numbers, a batch at a time.

    A subclass names itself and its ``Settings``, says in ``describe`` what its output depends on, learns
    in ``prepare`` what it must (or loads its model), and encodes in ``encode_batch``. What a row becomes
    may depend on ``prepare`` and on the other inputs of its batch, not on earlier batches, so that an
    interrupted run can go on with the next batch.

    Parameters
    ----------
    settings
        Of the subclass; the defaults if there are none.

    References
    ----------
    Others' encoders are found by the entry-point group ``kg_builders.encoders``.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    """Changes with every change of the output."""
    modality: ClassVar[Literal["text", "image", "sound"]]
    """What the inputs are; of texts or of paths."""
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    """Distributions whose versions may change the output."""
    Settings: ClassVar[type[StrictModel]]
    batch_size: int = 1024
    """Inputs encoded at a time."""

    def __init__(self, settings: SettingsT | None = None) -> None:
        self.settings: Any = self.Settings() if settings is None else settings

    def describe(self) -> dict[str, Any]:
        """Return everything but the inputs that decides the output, as plain values.

        Returns
        -------
        dict
            ``encoder``, ``version``, ``settings``, ``model`` (null if there is no pretrained one) and
            ``libraries`` with their versions.
        """
        return {
            "encoder": self.name,
            "version": self.version,
            "settings": self.settings.model_dump(mode="json"),
            "model": None,
            "libraries": library_versions(self.libraries),
        }

    def prepare(self, inputs: Sequence[RawInput]) -> None:
        """Learn from all inputs, or load the model; called once before ``encode_batch``.

        Raises
        ------
        InputError
            If a library or the model is missing, or nothing can be learned from the inputs.
        """

    @abstractmethod
    def encode_batch(self, inputs: Sequence[RawInput]) -> Encoded:
        """Encode a batch; inputs that are missing or broken are told as problems."""

    def encode(self, inputs: Sequence[RawInput], progress: Progress | None = None) -> Encoded:
        """Encode all inputs, which are in item order.

        Returns
        -------
        Encoded
            With a row for each input.

        Raises
        ------
        InputError
            As ``prepare`` does, or if there is no input.
        """
        if not len(inputs):
            raise InputError(f"{self.name}: no inputs; expected at least one")
        self.prepare(inputs)
        parts: list[NDArray[np.float32]] = []
        problems: dict[int, str] = {}
        for start, part in self.batches(inputs):
            parts.append(part.matrix)
            problems.update({start + row: reason for row, reason in part.problems.items()})
            if progress is not None:
                progress(start + len(part.matrix), len(inputs))
        return Encoded(np.concatenate(parts), problems)

    def batches(self, inputs: Sequence[RawInput], start: int = 0) -> Iterator[tuple[int, Encoded]]:
        """Encode batch after batch, once ``prepare`` is done; rows that are not finite become missing.

        Parameters
        ----------
        start
            Where to begin, at the start of a batch.

        Yields
        ------
        tuple
            Position of the batch's first item, and the batch.
        """
        for first in range(start, len(inputs), self.batch_size):
            batch = inputs[first : first + self.batch_size]
            part = self.encode_batch(batch)
            matrix = np.ascontiguousarray(part.matrix, dtype=np.float32)
            if matrix.ndim != 2 or len(matrix) != len(batch):
                raise InputError(
                    f"encoder {self.name!r}: gave shape {matrix.shape} for {len(batch)} inputs; "
                    "expected a row for each"
                )
            problems = dict(part.problems)
            for row in np.flatnonzero(~np.isfinite(matrix).all(axis=1)).tolist():
                problems.setdefault(row, "encoded as numbers that are not finite")
            matrix[list(problems)] = 0.0
            yield first, Encoded(matrix, problems)


def import_extra(module: str, extra: str, what: str) -> Any:
    """Import a library that only some users need.

    Raises
    ------
    InputError
        If it is not installed, or can't be imported: says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise InputError(
            f"{what} needs {package}, which can't be imported ({_first_line(error)}); "
            f"expected: {install_hint(extra)}"
        ) from error
    except RuntimeError as error:
        # What torchvision raises if it was built for another torch.
        raise InputError(
            f"{what} needs {module}, which doesn't fit the other installed libraries ({_first_line(error)}); "
            f"expected a build for the same torch: {install_hint(extra)}"
        ) from error


def library_versions(distributions: Sequence[str]) -> dict[str, str | None]:
    """Return the installed version of each distribution, null where there is none."""
    versions: dict[str, str | None] = {}
    for name in distributions:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
