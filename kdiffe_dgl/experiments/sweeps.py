"""Settings to vary: ``setting=value,value``, read and checked."""

from __future__ import annotations

from dataclasses import dataclass

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.variants import Variant, changed
from kdiffe_dgl.training.config import RunConfig

__all__ = ["Sweep", "read_sweep"]

_CLOSING = {"[": "]", "{": "}"}


@dataclass(frozen=True)
class Sweep:
    """Values of a setting.

    Parameters
    ----------
    setting
        Such as ``"model.attention.epsilon"``.
    values
        As they are written.
    """

    setting: str
    values: tuple[str, ...]

    def variants(self) -> list[Variant]:
        """Return a variant a value."""
        short = self.setting.removeprefix("model.")
        return [Variant(f"{short} = {value}", (f"{self.setting}={value}",)) for value in self.values]

    def require_fits(self, base: RunConfig) -> None:
        """Refuse a setting that does not exist, or a value that it can't have.

        Parameters
        ----------
        base
            The settings that are varied.

        Raises
        ------
        InputError
            Naming the setting and the value.
        """
        for variant in self.variants():
            try:
                changed(base, variant.overrides)
            except InputError as error:
                raise InputError(str(error).replace("--set ", "--vary ", 1)) from error


def _split_values(listed: str) -> list[str]:
    """Split at commas, but not within brackets or quotes, which are parts of one value.

    Text after a bracket or quote that nothing closes is one value: that it is no YAML is told with it.
    """
    values, quote = [""], ""
    open_ones: list[str] = []
    for character in listed:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and (not values[-1].strip() or open_ones):
            # Elsewhere it is an apostrophe.
            quote = character
        elif character in _CLOSING:
            open_ones.append(_CLOSING[character])
        elif open_ones and character == open_ones[-1]:
            open_ones.pop()
        elif character == "," and not open_ones:
            values.append("")
            continue
        values[-1] += character
    return [value.strip() for value in values]


def read_sweep(text: str) -> Sweep:
    """Read ``attention.epsilon=0,0.3,0.6``: of the model, unless it begins with ``training.``.

    A value may be a list, as in ``sampling.fanouts=[5,5],[10,10]``.

    Raises
    ------
    InputError
        If it has no values, or one of them twice.
    """
    setting, equals, listed = text.partition("=")
    values = tuple(_split_values(listed))
    if not equals or not setting.strip() or not all(values) or len(set(values)) < len(values):
        raise InputError(
            f"--vary {text}: expected a setting and different values, such as attention.epsilon=0,0.3,0.6"
        )
    setting = setting.strip()
    return Sweep(setting if setting.startswith(("model.", "training.")) else f"model.{setting}", values)
