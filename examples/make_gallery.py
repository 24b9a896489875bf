"""Make the pictures of the gallery page anew: run the examples that draw, and copy what they drew.

Writes small PNG files into ``docs/images``. Runs the examples one after the other, which takes a few minutes;
``--only`` runs one of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLES = Path(__file__).resolve().parent
PICTURES: dict[str, dict[str, str]] = {
    "02_train_and_recommend": {"curves.png": "curves.png"},
    "03_attention_subgraph": {"attention.png": "attention.png"},
    "05_own_encoder": {"neighbours.png": "own-encoder.png"},
    "07_compare_models": {"comparison.png": "comparison.png"},
    "08_cold_items": {"cold.png": "cold-items.png"},
    "10_amazon_and_movielens": {"amazon.png": "amazon.png", "movielens.png": "movielens.png"},
    "11_explain_recommendations": {"why.png": "why.png"},
}
"""Example -> picture that it draws -> its name in the gallery."""
MOST_BYTES = 150_000
WIDTH = 1100


def main() -> None:
    """Run the examples and copy their pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, default=EXAMPLES.parent / "docs" / "images")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/gallery"), help="folder for what examples write"
    )
    parser.add_argument("--only", choices=list(PICTURES), help="run one example")
    options = parser.parse_args()
    options.images.mkdir(parents=True, exist_ok=True)
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    for name, pictures in PICTURES.items():
        if options.only not in (None, name):
            continue
        print(f"running {name}", flush=True)
        output = (options.runs / name).absolute()
        command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--output", str(output)]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        for drawn, kept in pictures.items():
            size = shrink(output / drawn, options.images / kept)
            print(f"    {kept}: {size / 1000:.0f} kB")


def shrink(source: Path, target: Path) -> int:
    """Copy a picture, no wider than the page and in 128 colours; return its size in bytes.

    Raises
    ------
    SystemExit
        If it is still larger than a page should have to load.
    """
    with Image.open(source) as picture:
        small = picture.convert("RGB")
        small.thumbnail((WIDTH, WIDTH * 2))
        small.quantize(128, dither=Image.Dither.NONE).save(target, optimize=True)
    size = target.stat().st_size
    if size >= MOST_BYTES:
        raise SystemExit(f"{target}: {size:,} bytes; expected less than {MOST_BYTES:,}")
    return size


if __name__ == "__main__":
    main()
