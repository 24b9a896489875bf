"""What the figures share: an empty one with the look of the page, and labels that are taken literally."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kg_builders.reporting.fonts import Fonts, find_fonts, plain_text, shorten
from kg_builders.reporting.picture import INK, PAPER, QUIET
from kg_builders.reporting.plots import dress_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

__all__ = ["Names", "counts", "legend", "note", "panels", "percent"]

SMALL = 8.0


class Names:
    """Names as a figure can show them: in fonts that have their characters, never as formulas.

    Parameters
    ----------
    texts
        All that will be shown.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._fonts: Fonts = find_fonts([plain_text(text) for text in texts])

    def shown(self, text: str, otherwise: str, width: int = 30) -> str:
        """Return a text, or something else where no font has its characters, at most so many letters."""
        return shorten(self._fonts.drawable(plain_text(text), plain_text(otherwise)) or "?", width)

    def distinct(self, texts: Sequence[str], otherwise: str, width: int) -> list[str]:
        """Return texts as :meth:`shown` does; of those alike then, all but the first get a number."""
        met: Counter[str] = Counter()
        told = []
        for text in texts:
            name = self.shown(text, otherwise, width)
            met[name] += 1
            told.append(name if met[name] == 1 else f"{self.shown(text, otherwise, width - 4)} ({met[name]})")
        return told

    def dress(self, artists: Iterable[Text]) -> None:
        """Let texts be taken literally."""
        for artist in artists:
            artist.set_parse_math(False)
            artist.set_fontfamily(list(self._fonts.families))

    def name_rows(self, axes: Axes, names: Sequence[str]) -> None:
        """Write a name beside each row, the first at the top."""
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        # Ticks of a panel that shares its rows have labels, too, though they are not shown.
        for panel in axes.get_shared_y_axes().get_siblings(axes):
            for tick in panel.yaxis.get_major_ticks():
                self.dress((tick.label1, tick.label2))


def panels(
    headings: Sequence[tuple[str, str, str]], size: tuple[float, float], shared_rows: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return an empty figure with panels side by side.

    Parameters
    ----------
    headings
        Of each panel: title, what lies below, and what lies beside it.
    size
        Width and height in inches.
    shared_rows
        Whether the panels have the same rows.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=size, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    found = list(figure.subplots(1, len(headings), squeeze=False, sharey=shared_rows)[0])
    for axes, (title, below, beside) in zip(found, headings, strict=True):
        dress_axes(axes, below, beside)
        axes.set_title(title, color=INK, size=10, loc="left")
    return figure, found


def legend(axes: Axes, names: Names | None = None, **options: Any) -> None:
    """Add a legend without a frame."""
    made = axes.legend(frameon=False, labelcolor=INK, fontsize=SMALL, **options)
    if names is not None:
        names.dress(made.get_texts())


def percent(axes: Axes) -> None:
    """Show the values below as percentages."""
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")


def counts(axes: Axes) -> None:
    """Show counts from 1 below, on a logarithmic axis."""
    from matplotlib.ticker import LogLocator, NullLocator  # noqa: PLC0415

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    crowded = high > 300 * low
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if crowded else (1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def note(axes: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """Write a small text at a place of the data."""
    axes.text(x, y, text, size=SMALL, color=QUIET, parse_math=False, **options)
