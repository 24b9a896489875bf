"""Text that a picture can show: fonts that have its characters, or other words for it.

The browser picks fonts as it goes; matplotlib draws boxes and warns. So labels are looked up in the fonts of
the machine before they are drawn, and a label that no font can show is replaced by the entity's id.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Fonts", "find_fonts", "plain_text", "shorten"]

BASE = "DejaVu Sans"
"""Comes with matplotlib, so that a picture looks the same everywhere."""
_NOT_FONTS = ("Last Resort", "STIX", "cm", "DejaVu")
"""Fonts of boxes, and those that are parts of formulas."""
# Controls, formats (joiners, directions), surrogates, private use, unassigned.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}


@dataclass(frozen=True)
class Fonts:
    """Fonts to try in turn, and the characters that none of them has."""

    families: tuple[str, ...]
    missing: frozenset[str]

    def can_draw(self, text: str) -> bool:
        """Whether all characters of a text have a glyph."""
        return bool(text) and self.missing.isdisjoint(text)

    def drawable(self, *texts: str | None) -> str | None:
        """Return the first of several texts that can be drawn, also in its compatible spelling, or null."""
        for text in texts:
            for form in (text, unicodedata.normalize("NFKC", text)) if text else ():
                if form is not None and self.can_draw(form):
                    return form
        return None


def find_fonts(texts: Iterable[str]) -> Fonts:
    """Find fonts of the machine that together have the characters of the texts."""
    # Imported here: matplotlib takes a while, and not every report draws.
    import matplotlib  # noqa: PLC0415
    from matplotlib.font_manager import fontManager  # noqa: PLC0415

    wanted = {character for text in texts for character in text}
    base = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    missing = wanted - _characters(base) - {" ", "\n"}
    families = [BASE]
    for entry in sorted(fontManager.ttflist, key=lambda entry: (entry.name, entry.fname)):
        if not missing:
            break
        upright = entry.style == "normal" and entry.name not in families
        if not upright or entry.name.startswith(_NOT_FONTS):
            continue
        # The font that matplotlib will take for the name may be another file of the family.
        found = _characters(fontManager.findfont(entry.name))
        if found & missing:
            families.append(entry.name)
            missing -= found
    return Fonts(tuple(families), frozenset(missing))


def plain_text(text: str | None) -> str:
    """Return a text in one line without characters that have no shape."""
    kept = "".join(" " if character.isspace() else character for character in text or "")
    return " ".join("".join(c for c in kept if unicodedata.category(c) not in _INVISIBLE).split())


def shorten(text: str, width: int, lines: int = 1) -> str:
    """Break a text into lines of at most so many characters; what is left over becomes an ellipsis."""
    return "\n".join(
        textwrap.wrap(text, width, max_lines=lines, placeholder="…", break_on_hyphens=False)
        or [text[: width - 1] + "…"]
    )


def _characters(path: str | Path) -> set[str]:
    """Return the characters of a font; none if the file is damaged."""
    from matplotlib.ft2font import FT2Font  # noqa: PLC0415

    try:
        return {chr(code) for code in FT2Font(str(path)).get_charmap()}
    except (OSError, RuntimeError):
        return set()
