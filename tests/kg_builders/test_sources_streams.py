"""Streams of lines: every way of storing them gives the same, and what is damaged is told."""

from __future__ import annotations

import gzip
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders import InputError
from kg_builders.sources.streams import LineBlock, read_lines, sniff_lines


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


STORED = {"plain": bytes, "gzip": gzip.compress, "zstd": zstd}


def collect(blocks) -> tuple[list[bytes], list[tuple[int, bytes]]]:
    lines: list[bytes] = []
    too_long = []
    for block in blocks:
        assert block.first == len(lines) + 1
        lines += block.lines
        too_long += block.too_long
    return lines, too_long


@given(
    lines=st.lists(
        st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), min_size=1, max_size=20
    ),
    end=st.sampled_from([b"", b"\n"]),
    block=st.integers(1, 30),
    stored=st.sampled_from(sorted(STORED)),
)
@settings(max_examples=120, deadline=None)
def test_lines_survive_any_storage_and_block(
    lines: list[bytes], end: bytes, block: int, stored: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lines") / "f"
    # A first line of text, so that random bytes aren't the beginning of some format.
    data = b"first\n" + b"\n".join(lines) + end
    path.write_bytes(STORED[stored](data))
    expected = data.split(b"\n")
    expected = expected[:-1] if expected[-1] == b"" else expected
    assert collect(read_lines(path, block=block)) == (expected, [])


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 20])
def test_lines_past_the_limit_are_skipped(tmp_path: Path, block: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"a\n" + b"x" * 100 + b"\nb\n" + b"y" * 51 + b"\n" + b"z" * 50 + b"\n" + b"w" * 99)
    lines, too_long = collect(read_lines(path, max_line=50, block=block))
    assert lines == [b"a", b"", b"b", b"", b"z" * 50, b""]
    assert [(line, beginning[:1]) for line, beginning in too_long] == [(2, b"x"), (4, b"y"), (6, b"w")]


def test_urls_progress_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "f.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfa\nb\n" * 1000))
    steps: list[tuple[int, int | None, int]] = []
    lines, _ = collect(read_lines(path, lambda *step: steps.append(step), block=1000))
    assert lines[:2] == [b"a", b"b"]
    size = path.stat().st_size
    assert steps[-1][:2] == (size, size)
    assert steps == sorted(steps)
    assert collect(read_lines(path.as_uri()))[0] == lines
    with fsspec.open("memory://sources/f.csv.gz", "wb") as file:
        file.write(path.read_bytes())
    assert collect(read_lines("memory://sources/f.csv.gz"))[0] == lines
    with pytest.raises(InputError, match=r"memory://sources/absent: can't be read"):
        collect(read_lines("memory://sources/absent"))
    with pytest.raises(InputError, match=r"odd://x: can't be read \(Protocol not known: odd"):
        collect(read_lines("odd://x"))
    assert sniff_lines(path, 3) == LineBlock(1, [b"a", b"b", b"\xef\xbb\xbfa"])


@pytest.mark.parametrize("stored", ["gzip", "zstd"])
def test_damaged_compression(tmp_path: Path, stored: str) -> None:
    import random

    data = random.Random(3).randbytes(20_000).replace(b"\n", b"")
    whole = STORED[stored](b"first\n" + data)
    path = tmp_path / "f.jsonl.gz"
    for cut in (len(whole) - 3, len(whole) // 2):
        path.write_bytes(whole[:cut])
        with pytest.raises(
            InputError, match=r"f.jsonl.gz: the compressed file ends early; expected all of it"
        ):
            collect(read_lines(path))
    if stored == "gzip":
        path.write_bytes(whole[:-6] + bytes([whole[-6] ^ 255]) + whole[-5:])
        with pytest.raises(InputError, match=r"f.jsonl.gz: the compressed file is damaged"):
            collect(read_lines(path))


def test_names_may_lie_about_the_compression(tmp_path: Path) -> None:
    path = tmp_path / "f.gz"
    path.write_bytes(b"a\nb\n")
    assert collect(read_lines(path))[0] == [b"a", b"b"]
    path = tmp_path / "f.txt"
    path.write_bytes(zstd(b"a\nb\n"))
    assert collect(read_lines(path))[0] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\r\n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"PAR1abc", "is a Parquet table; expected UTF-8 text"),
        (b"PK\x03\x04abc", "is a ZIP archive"),
        ("a,b\n".encode("utf-16"), "is UTF-16 text; expected UTF-8 text"),
        (gzip.compress(b"x" * 257 + b"ustar" + b"x" * 99, mtime=0), "is a tar archive"),
    ],
)
def test_other_kinds_of_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"f.jsonl: {message}"):
        collect(read_lines(path))


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent: can't be read \(No such file"):
        collect(read_lines(tmp_path / "absent"))
    with pytest.raises(InputError, match=r"can't be read \(is a folder\); expected a file"):
        collect(read_lines(tmp_path))
