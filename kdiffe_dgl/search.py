"""What is worth trying of a setting, declared beside it: the search space of ``kdiffe tune``.

A configuration class says so in ``SEARCH``, setting to what is tried::

    class SGLConfig(LightGCNConfig):
        SEARCH: ClassVar[SearchSpace] = {"temperature": Between(0.05, 1.0, log=True)}

A subclass adds to what it inherits, takes the place of it, or leaves a setting out with ``None``; so does a
class with a part of its settings. Settings of
a part that reads only the knowledge graph, or only the features, change nothing without them: such a class
says ``NEEDS = "kg"`` or ``NEEDS = "features"``. What changes nothing beside other settings, a class says of
its instances: see :class:`Idle`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from pydantic import BaseModel

__all__ = ["Between", "Choices", "Idle", "Needs", "SearchSpace", "Searched", "search_space"]

Needs = Literal["kg", "features"]
"""Part of a data set without which a class of settings changes nothing."""


@dataclass(frozen=True)
class Choices:
    """A few values.

    Parameters
    ----------
    values
        Numbers, text or truth values.
    """

    values: tuple[bool | int | float | str, ...]

    def holds(self, value: object) -> bool:
        """Say whether a value is one of them."""
        return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in self.values)


@dataclass(frozen=True)
class Between:
    """A range, whole numbers where both ends are.

    Parameters
    ----------
    low, high
        The ends, which belong to it.
    log
        Whether orders of magnitude count alike.
    """

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether it is of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def holds(self, value: object) -> bool:
        """Say whether a value lies in it."""
        return isinstance(value, (int, float)) and self.low <= value <= self.high


@runtime_checkable
class Idle(Protocol):
    """Settings of which some change nothing, as the others are."""

    def idle(self) -> Collection[str]:
        """Return those, by their names in the class, with dots within its parts."""
        ...


Searched = Choices | Between
SearchSpace = Mapping[str, Searched | None]


def search_space(
    config: type[BaseModel] | BaseModel, prefix: str = "", has: Collection[Needs] = ("kg", "features")
) -> dict[str, Searched]:
    """Collect what a configuration class and those within it declare.

    Parameters
    ----------
    config
        The class; or settings, of which those that are idle are left out.
    prefix
        Put before the names.
    has
        What the data set has; classes that need something else are left out.

    Returns
    -------
    dict
        ``"contrast.temperature"`` -> what is tried.

    Raises
    ------
    ValueError
        If a declared setting does not exist.
    """
    kind = config if isinstance(config, type) else type(config)
    if getattr(kind, "NEEDS", None) not in (None, *has):
        return {}
    own: dict[str, Searched | None] = {}
    for part in reversed(kind.__mro__):
        own.update(vars(part).get("SEARCH", {}))
    found: dict[str, Searched] = {}
    for name, searched in own.items():
        if name not in kind.model_fields:
            raise ValueError(f"{kind.__name__}.SEARCH: there is no setting {name!r}")
        if searched is not None:
            found[f"{prefix}{name}"] = searched
    for name, field in kind.model_fields.items():
        left_out = name in own and own[name] is None
        if not left_out and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            inner = field.annotation if config is kind else getattr(config, name)
            found.update(search_space(inner, f"{prefix}{name}.", has))
    if isinstance(config, BaseModel) and isinstance(config, Idle):
        idle = {f"{prefix}{name}" for name in config.idle()}
        found = {name: searched for name, searched in found.items() if name not in idle}
    return found
