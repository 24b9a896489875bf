"""Names in normal form: what is left of them when spelling doesn't count, and their aliases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from kg_builders.clean import fold_case
from kg_builders.config import StrictModel, load_yaml
from kg_builders.errors import InputError
from kg_builders.sources.delimited import LINE, read_delimited

__all__ = ["LEGAL_FORMS", "NameSettings", "alias_keys", "alias_pairs", "name_forms", "read_aliases"]

LEGAL_FORMS = (
    "inc", "incorporated", "corp", "corporation", "co", "company", "llc", "llp", "ltd", "limited", "plc",
    "gmbh", "mbh", "ag", "kg", "kgaa", "ohg", "gmbh and co kg", "sa", "sas", "sarl", "srl", "spa", "bv", "nv",
    "aps", "oy", "oyj", "kk", "pte", "pty", "pvt",
)  # fmt: skip
"""Legal forms at the end of a company's name, in normal form. Those that are also words of other names, such
as "AS", "SE" or "LP", are left to the settings."""

_IGNORED = r"[™®©℠\u{200B}-\u{200D}\u{FEFF}]"
_MARKS = r"(\p{Latin})[\x{0300}-\x{036F}]+"
# What separates words: punctuation and space, but not the signs that tell "C#" from "C" and "50%" from "50".
_SEPARATORS = r"[[\p{P}\p{Z}\p{Cc}]--[#%]]+"
# Between digits these say what number it is: "1.5" is not "15", "16:9" not "169".
_IN_NUMBERS = {".": "\ue000", ",": "\ue001", "/": "\ue002", ":": "\ue003", "-": "\ue004"}


class NameSettings(StrictModel):
    """What doesn't count when names are compared."""

    legal_forms: tuple[str, ...] = LEGAL_FORMS
    """Words at the end of a name that are no part of it, if the name is written with a capital letter."""
    articles: tuple[str, ...] = ("the",)
    """Words at the beginning of a name that are no part of it."""
    prefixes: tuple[str, ...] = ("by",)
    """Words before another of the names that are no part of it, written just so: "by Nike" is "Nike"."""


def name_forms(labels: pl.Series, settings: NameSettings | None = None) -> pl.DataFrame:
    """Return what is left of names when spelling doesn't count.

    Case, Unicode compatibility forms, Latin accents, trade mark signs, punctuation, legal forms at the end
    and articles at the beginning are left out, "&" is read as "and". Numbers stay as they are: "1.5" is not
    "15".

    Two rules look at the other names, since a word alone doesn't say what it is:

    * A legal form is left out if the name is written with a capital letter at least once, whatever the
      spelling: "canon inc" is "Canon" where there is a "Canon Inc." too. Names that are lower case throughout
      are mostly tags, and "feel good inc" and "new ag" are not "feelgood" and "new".
    * A prefix is left out if it is written as in the settings, no lower-case letter follows, and what remains
      is another of the names: "by Nike" is "Nike" if there is a "Nike"; "By the Sword" stays.

    Parameters
    ----------
    labels
        Names that are compared with each other, such as those of a kind of entities.
    settings
        What doesn't count.

    Returns
    -------
    pl.DataFrame
        Columns ``form`` (words separated by one space) and ``key`` (without the spaces, those between digits
        apart): names are the same if their keys are. A name that is all punctuation is its own form.

    Examples
    --------
    >>> name_forms(pl.Series(["The SONY Corp.", "Black & Decker Co., Ltd.", "Hip-Hop", "1.5 l"])).rows()
    [('sony', 'sony'), ('black and decker', 'blackanddecker'), ('hip hop', 'hiphop'), ('1.5 l', '1.5l')]
    """
    settings = settings or NameSettings()
    labels = labels.cast(pl.Utf8)
    words = "|".join(_escaped(word) for word in settings.prefixes)
    prefixed = rf"(?s)^\s*(?:{words})\s+([^\s\p{{Ll}}].*)$"
    rest = labels.str.extract(prefixed) if words else labels.clear(len(labels))
    after = rest.drop_nulls()
    forms = _normal_forms(pl.concat([labels.rename("name"), after.rename("name")]), settings)
    whole, short = forms.head(len(labels)), forms.tail(len(after))
    short = short.with_columns(known=pl.col("key").is_in(whole["key"].unique().implode()))
    chosen = np.arange(len(labels))
    known = short["known"].fill_null(False).to_numpy()
    chosen[np.flatnonzero(rest.is_not_null())[known]] = len(labels) + np.flatnonzero(known)
    return forms[chosen]


def _normal_forms(labels: pl.Series, settings: NameSettings) -> pl.DataFrame:
    """Return columns ``form`` and ``key`` of names, with their prefixes."""
    text = labels.cast(pl.Utf8).str.replace_all(_IGNORED, "").str.normalize("NFKC")
    folded = fold_case(text).str.strip_chars()
    form = (
        folded.str.normalize("NFKD")
        .str.replace_all(_MARKS, "$1")
        .str.normalize("NFC")
        .str.replace_all("&", " and ", literal=True)
        .str.replace_all(r"\p{Pd}|−", "-")
        .str.replace_all(r"(^|\s)-(\d)", "$1 minus $2")
        # An apostrophe joins what is around it, after a number it is a measure; dots join initials.
        .str.replace_all(r"(\w)['’](\p{L})", "$1$2")
        .str.replace_all(r"(\d)[\"”″]", "$1 in ")
        .str.replace_all(r"(\d)['’′]", "$1 ft ")
        .str.replace_all(r"\b(\p{L})\.", "$1")
    )
    for sign, stand_in in _IN_NUMBERS.items():
        for _ in range(2):  # Twice, since the digit between two signs belongs to both.
            form = form.str.replace_all(rf"(\d)[{sign}](\d)", f"${{1}}{stand_in}${{2}}")
    form = form.str.replace_all(_SEPARATORS, " ").str.strip_chars()
    for sign, stand_in in _IN_NUMBERS.items():
        form = form.str.replace_all(stand_in, sign, literal=True)
    articles, legal = _alternatives(settings.articles), _alternatives(settings.legal_forms)
    if articles:
        form = form.str.replace(rf"^(?:{articles}) (\S)", "$1")
    if legal:
        short = form.str.replace(rf"^(.*?\S)(?: (?:{legal}))+$", "$1")
        capital = (text != text.str.to_lowercase()).fill_null(False)
        written = pl.DataFrame({"form": form, "short": short, "capital": capital})
        form = written.select(
            pl.when(pl.col("capital").any().over("form")).then("short").otherwise("form").alias("form")
        ).to_series()
    frame = pl.DataFrame({"form": form, "folded": folded})
    frame = frame.select(form=pl.when(pl.col("form").str.len_bytes() > 0).then("form").otherwise("folded"))
    spaced = pl.col("form")
    for _ in range(2):
        spaced = spaced.str.replace_all(r"(\d) (\d)", "${1}_${2}")
    key = spaced.str.replace_all(" ", "", literal=True).str.replace_all(r"(\d)_(\d)", "$1 $2")
    return frame.with_columns(key=key.str.replace_all(r"(\d)_(\d)", "$1 $2"))


def _alternatives(words: tuple[str, ...]) -> str:
    """Return a regular expression for any of the words, written in any way."""
    if not words:
        return ""
    plain = NameSettings(legal_forms=(), articles=(), prefixes=())
    forms = name_forms(pl.Series(list(words), dtype=pl.Utf8), plain)["form"].unique().to_list()
    # The longest first, since the first that fits is taken.
    forms.sort(key=lambda form: (-len(form), form))
    return "|".join(_escaped(form) for form in forms)


def _escaped(text: str) -> str:
    """Return a regular expression for a text as it is."""
    return re.sub(r"([\\\.+*?()|\[\]{}^$#&~-])", r"\\\1", text)


def read_aliases(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Read a table of aliases.

    Parameters
    ----------
    path
        A YAML file that maps names to lists of other names, or a CSV or TSV file with a header and two
        columns: the name, and one other name.

    Raises
    ------
    InputError
        If the file can't be read or has another form, with the line where there is one.
    """
    path = Path(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        frame = read_delimited(path, "," if path.suffix.lower() == ".csv" else "\t", quote='"')
        columns = [column for column in frame.columns if column != LINE]
        if len(columns) != 2:
            raise InputError(
                f"{path}: has {len(columns)} columns; expected two, a name and another name for it"
            )
        empty = frame.filter(pl.any_horizontal(pl.col(columns).is_null()))
        if len(empty):
            raise InputError(f"{path}, line {empty[LINE][0]}: a name is empty; expected two names")
        grouped = frame.group_by(columns[0], maintain_order=True).agg(pl.col(columns[1]))
        return {name: tuple(others) for name, others in grouped.iter_rows()}
    data = load_yaml(path)
    if not isinstance(data, Mapping):
        raise InputError(f"{path}: expected names with lists of other names, such as 'Hewlett-Packard: [HP]'")
    for name, others in data.items():
        if not isinstance(name, str) or not (
            isinstance(others, list) and all(isinstance(other, str) for other in others)
        ):
            raise InputError(f"{path}: alias {name!r}: expected a text and a list of texts (quote numbers)")
    return {name: tuple(others) for name, others in data.items()}


def alias_pairs(
    aliases: Mapping[str, tuple[str, ...]] | str, folder: Path
) -> tuple[list[tuple[str, str]], str]:
    """Return each name with each other name for it, and where they are from, for messages.

    Parameters
    ----------
    aliases
        Name to other names for it, or a file of them.
    folder
        Where a relative path begins.
    """
    where = "resolve: aliases"
    if isinstance(aliases, str):
        where = str(folder / aliases)
        aliases = read_aliases(folder / aliases)
    return [(name, other) for name, others in aliases.items() for other in others], where


def alias_keys(pairs: list[tuple[str, str]], keys: list[str], where: str) -> dict[str, str]:
    """Return the key of each alias and that of the name that it stands for in the end.

    Parameters
    ----------
    pairs
        Each name with another name for it.
    keys
        Keys of all their texts, in that order.
    where
        Names the aliases in messages.

    Raises
    ------
    InputError
        If an alias stands for two names, or for itself by way of others.
    """
    stands_for: dict[str, str] = {}
    called: dict[str, str] = {}
    for (name, other), key, other_key in zip(pairs, keys[::2], keys[1::2], strict=True):
        if stands_for.setdefault(other_key, key) != key:
            raise InputError(
                f"{where}: {other!r} stands for {called[other_key]!r} and for {name!r}; expected one name"
            )
        called.setdefault(other_key, name)
    for start in list(stands_for):
        if stands_for[start] == start:
            del stands_for[start]
    for start in list(stands_for):
        seen = {start}
        while stands_for[start] in stands_for:
            if stands_for[start] in seen:
                raise InputError(
                    f"{where}: {called[start]!r} is an alias in a circle; expected one name that isn't"
                )
            seen.add(stands_for[start])
            stands_for[start] = stands_for[stands_for[start]]
    return stands_for
