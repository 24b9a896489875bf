"""Encode item pictures with an encoder of one's own, and give the features to a data set.

An encoder is a subclass of ``kg_builders.encoders.Encoder`` with a name, a version, settings, and one
method that turns a batch of inputs into rows. What it can't encode it tells with a reason; the base class
looks after batches and numbers that are not finite, and ``encode_items`` after missing rows and a record of
what was encoded. An installed package offers its encoder to ``kg-build encode --encoder NAME`` by an entry
point::

    [project.entry-points."kg_builders.encoders"]
    colour-histogram = "my_package.encoders:ColourHistogram"

In planted data the colours of a picture show the item's genres, so the features can be checked: do the
nearest neighbours of an item share a genre with it more often than other items do?

Writes the pictures ``raw/pictures/``, the features ``colours.npy`` with their record ``colours.json``, the
data set ``data/`` and ``neighbours.png``. Takes a few seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from pydantic import Field

from kdiffe_dgl.data.synthetic import Planted, PlantedConfig, planted
from kg_builders.config import StrictModel
from kg_builders.encoders import Encoded, Encoder, encode_items
from kg_builders.encoders.base import RawInput


class HistogramSettings(StrictModel):
    """Settings of ``ColourHistogram``."""

    bins: int = Field(default=6, ge=2, le=16)
    """Bins of each colour channel."""


class ColourHistogram(Encoder[HistogramSettings]):
    """Joint histogram of red, green and blue; the square roots of the shares, so that rows have length 1.

    The dot product of two rows is then the Bhattacharyya coefficient of two distributions of colours.
    """

    name = "colour-histogram"
    version = "1"
    modality = "image"
    libraries = ("numpy", "pillow")
    Settings = HistogramSettings
    batch_size = 256

    def encode_batch(self, inputs: Sequence[RawInput]) -> Encoded:
        """Encode a batch of paths; a picture that is missing or can't be read gets a reason and no row."""
        matrix = np.zeros((len(inputs), self.settings.bins**3), dtype=np.float32)
        problems = {}
        for row, path in enumerate(inputs):
            if path is None:
                problems[row] = "no picture"
                continue
            try:
                with Image.open(path) as picture:
                    matrix[row] = self._histogram(np.asarray(picture.convert("RGB")))
            except (OSError, UnidentifiedImageError) as error:
                problems[row] = f"can't be read ({type(error).__name__})"
        return Encoded(matrix, problems)

    def _histogram(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        bins = self.settings.bins
        red, green, blue = (pixels.reshape(-1, 3).astype(np.int64) * bins // 256).T
        counts = np.bincount((red * bins + green) * bins + blue, minlength=bins**3)
        return np.sqrt(counts / counts.sum()).astype(np.float32)


def main() -> None:
    """Write pictures, encode them, attach the features, and check them against the truth."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/example-05"), help="folder for the results")
    parser.add_argument("--items", type=int, default=200)
    options = parser.parse_args()
    world = planted(PlantedConfig(n_users=100, n_items=options.items))
    pictures = options.output / "raw" / "pictures"
    ids = world.dataset.items["id"].to_list()
    write_pictures(pictures, ids, world.pictures)

    result = encode_items(
        None,
        ids,
        ColourHistogram(HistogramSettings(bins=6)),
        options.output / "colours.npy",
        folder=pictures,
        force=True,
    )
    print(result.sentence())
    colours = np.load(result.path)

    dataset = world.dataset.replace(features={"colours": colours})
    dataset.save(options.output / "data", overwrite=True)
    print(f"the data set in {options.output / 'data'} can be trained on; features: colours")

    present = np.flatnonzero(~result.record.missing_mask())
    nearest = neighbours(colours[present])
    shared = share_a_genre(world)[np.ix_(present, present)]
    with_nearest = shared[np.arange(len(present)), nearest[:, 0]].mean()
    with_any = shared[~np.eye(len(present), dtype=bool)].mean()
    print(f"a genre in common with the nearest neighbour: {with_nearest:.2f}")
    print(f"a genre in common with any other item: {with_any:.2f}")
    draw(world.pictures[present], nearest).savefig(options.output / "neighbours.png", dpi=110)
    print(f"written to {options.output}")


def write_pictures(folder: Path, ids: Sequence[str], pictures: NDArray[np.uint8]) -> None:
    """Write a PNG file an item, with two flaws that real catalogues have: none, and a broken one."""
    folder.mkdir(parents=True, exist_ok=True)
    for item, picture in zip(ids[2:], pictures[2:], strict=True):
        Image.fromarray(picture).save(folder / f"{item}.png")
    (folder / f"{ids[1]}.png").write_bytes(b"<html>404</html>")


def neighbours(features: NDArray[np.float32], k: int = 5) -> NDArray[np.int64]:
    """Return the k items with the greatest dot product for each item. shape: ``[items, k]``."""
    scores = features @ features.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def share_a_genre(world: Planted) -> NDArray[np.bool_]:
    """Say which items truly have a genre in common. shape: ``[items, items]``."""
    genres = world.triples.filter((pl.col("relation") == "genre") & pl.col("relevant"))
    wide = genres.with_columns(has=pl.lit(1)).pivot("tail_id", index="head_id", values="has").fill_null(0)
    in_order = world.dataset.items.join(
        wide, left_on="id", right_on="head_id", how="left", maintain_order="left"
    )
    member = in_order.drop("item", "id", "label").fill_null(0).to_numpy()
    return (member @ member.T) > 0


def draw(pictures: NDArray[np.uint8], nearest: NDArray[np.int64]) -> Figure:
    """Draw some pictures, each in a row with its nearest neighbours."""
    chosen = np.arange(0, len(pictures), max(1, len(pictures) // 4))[:4]
    figure = Figure(figsize=(7, 4.9), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, item in zip(figure.subplots(len(chosen), 1 + nearest.shape[1]), chosen, strict=True):
        for place, number in enumerate((item, *nearest[item])):
            axes[place].imshow(pictures[number])
            axes[place].axis("off")
    top = figure.axes[: 1 + nearest.shape[1]]
    top[0].set_title("item")
    top[1].set_title("nearest by colour", loc="left")
    return figure


if __name__ == "__main__":
    main()
