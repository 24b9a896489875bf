"""A table of results once, and its forms: terminal, Markdown, LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

__all__ = ["Cell", "ResultTable", "escape_latex", "latex_tables", "ranked"]

_LATEX: Mapping[str, str] = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    # A bracket after the end of a row would be read as its option.
    "[": "{[}",
    "]": "{]}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "…": r"\ldots{}",
}


def escape_latex(text: str) -> str:
    """Return a text as LaTeX prints it, characters that it gives a meaning included."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", " ".join(text.split()))


@dataclass(frozen=True)
class Cell:
    """What stands in a cell.

    Parameters
    ----------
    text
        The value, as it is printed.
    best, second
        Whether it is the best of its column, printed in bold, or the second, underlined.
    mark
        What is raised behind it, such as ``"**"``.
    """

    text: str
    best: bool = False
    second: bool = False
    mark: str = ""

    def rich(self) -> Text:
        """Return the cell for a terminal."""
        style = "bold" if self.best else "underline" if self.second else ""
        return Text().append(self.text, style).append(self.mark)

    def markdown(self) -> str:
        """Return the cell as Markdown, in which underlining takes HTML."""
        text = _escape_markdown(self.text)
        text = f"**{text}**" if self.best else f"<u>{text}</u>" if self.second else text
        return text + (f"<sup>{_escape_markdown(self.mark)}</sup>" if self.mark else "")

    def latex(self) -> str:
        """Return the cell as LaTeX."""
        text = escape_latex(self.text)
        text = rf"\textbf{{{text}}}" if self.best else rf"\underline{{{text}}}" if self.second else text
        return text + (f"$^{{{self.mark}}}$" if self.mark else "")


def ranked(values: Sequence[float | None]) -> tuple[set[int], set[int]]:
    """Return the places of the best and of the second best value, the greater the better.

    Parameters
    ----------
    values
        Values of a column; null where there is none. Equal values share their rank.
    """
    order = sorted({value for value in values if value is not None}, reverse=True)
    best, second = (
        {place for place, value in enumerate(values) if len(order) > rank and value == order[rank]}
        for rank in (0, 1)
    )
    return best, second


@dataclass(frozen=True)
class ResultTable:
    """A table.

    Parameters
    ----------
    title
        What it shows.
    header
        Names of the columns; the first holds names, the others figures.
    rows
        A cell a column.
    notes
        Sentences below it.
    name
        Short name, for a label in LaTeX.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    name: str = "results"

    def rich(self) -> Table:
        """Return the table for a terminal or a notebook."""
        table = Table(
            title=Text(self.title),
            caption=Text("\n".join(self.notes)) if self.notes else None,
            caption_justify="left",
        )
        for place, name in enumerate(self.header):
            table.add_column(Text(name), justify="right" if place else "left")
        for row in self.rows:
            table.add_row(*(cell.rich() for cell in row))
        return table

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [f"### {_escape_markdown(self.title)}", ""]
        lines.append(_piped(_escape_markdown(name) for name in self.header))
        lines.append(_piped("---:" if place else "---" for place in range(len(self.header))))
        lines += [_piped(cell.markdown() for cell in row) for row in self.rows]
        for note in self.notes:
            lines += ["", _escape_markdown(note)]
        return "\n".join(lines) + "\n"

    def latex(self, label: str | None = None) -> str:
        """Return the table as LaTeX, for the package booktabs.

        Parameters
        ----------
        label
            What follows ``tab:`` in its label; null: its short name.
        """
        label = _label(self.name) if label is None else label
        notes = " ".join([f"{self.title}.", *self.notes])
        columns = "l" + "r" * (len(self.header) - 1)
        return "\n".join(
            [
                r"\begin{table}",
                r"  \centering",
                rf"  \caption{{{escape_latex(notes)}}}",
                rf"  \label{{tab:{label}}}",
                rf"  \begin{{tabular}}{{{columns}}}",
                r"    \toprule",
                "    " + " & ".join(escape_latex(name) for name in self.header) + r" \\",
                r"    \midrule",
                *("    " + " & ".join(cell.latex() for cell in row) + r" \\" for row in self.rows),
                r"    \bottomrule",
                r"  \end{tabular}",
                r"\end{table}",
                "",
            ]
        )


def latex_tables(tables: Iterable[ResultTable]) -> str:
    """Return tables for one document in LaTeX: no two of them have the same label.

    Parameters
    ----------
    tables
        The tables, of which short names may differ by characters alone that no label has.
    """
    taken: set[str] = set()
    texts = []
    for table in tables:
        plain = label = _label(table.name)
        number = 2
        while label in taken:
            label, number = f"{plain}-{number}", number + 1
        taken.add(label)
        texts.append(table.latex(label))
    return "\n".join(texts)


def _label(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", name)


def _piped(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
