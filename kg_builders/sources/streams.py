"""Files as streams of lines: local or by fsspec, plain, gzip or zstd, in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from kg_builders.errors import InputError

__all__ = [
    "MAX_LINE",
    "LineBlock",
    "Progress",
    "Readable",
    "file_name",
    "first_bytes",
    "open_raw",
    "open_stream",
    "read_lines",
    "sniff_lines",
]

MAX_LINE = 16 << 20
"""Bytes of the longest line that is read; a longer one is a bad record."""
BLOCK = 8 << 20
_BEGINNING = 1000

Progress = Callable[[int, "int | None", int], None]
"""Takes the bytes read of the file as it is stored, its size if known, and the lines so far."""

# First bytes of what isn't text, to name it.
_MAGIC = {
    b"PAR1": "a Parquet table",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet",
    b"SQLite format 3": "an SQLite database",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"7z\xbc\xaf": "a 7z archive",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
_TAR = slice(257, 262)


class Readable(Protocol):
    """What can be read in pieces."""

    def read(self, size: int, /) -> bytes:
        """Return the next ``size`` bytes or fewer, none at the end."""


@dataclass(frozen=True)
class LineBlock:
    """Some lines of a file, without their line feeds.

    Parameters
    ----------
    first
        Number of the first line, from 1.
    lines
        The lines; a line that is too long is given as an empty one.
    too_long
        Number and beginning of each line that is too long.
    """

    first: int
    lines: list[bytes]
    too_long: tuple[tuple[int, bytes], ...] = ()


def file_name(source: str | Path) -> str:
    """Return the last part of a path or URL."""
    return str(source).rstrip("/").rpartition("/")[2] or str(source)


@contextmanager
def open_stream(
    source: str | Path, progress: Callable[[int, int | None], None] | None = None
) -> Iterator[Readable]:
    """Open a file; gzip and zstd are told by their first bytes, whatever the name says, and decompressed.

    Parameters
    ----------
    source
        A path, or a URL such as ``s3://bucket/meta.jsonl.gz`` for fsspec.
    progress
        Is called with the bytes read of the file as it is stored, and its size if known.

    Raises
    ------
    InputError
        If the file can't be opened or read, is empty, a folder, or of a kind that isn't text; or, as it
        is read, if its compression is damaged or ends early.
    """
    with ExitStack() as stack:
        raw, size = open_raw(source, stack)
        counted = _Counted(raw, size, progress)
        with _told(source):
            head = counted.peek(8)
        if not head:
            raise InputError(f"{source}: is empty; expected at least one line")
        compression = _compression(head)
        stream: Readable = counted
        if compression is not None:
            # Arrow decompresses outside the interpreter's lock and notices a stream that ends early.
            python_file = pa.PythonFile(counted, mode="r")
            stream = stack.enter_context(pa.CompressedInputStream(python_file, compression))
        yield _Guarded(source, stream)


def read_lines(
    source: str | Path,
    progress: Progress | None = None,
    *,
    max_line: int = MAX_LINE,
    block: int | None = None,
) -> Iterator[LineBlock]:
    """Read the lines of a file in blocks, the next block while this one is worked on.

    A byte-order mark is taken off; carriage returns stay. Memory is a few blocks and ``max_line``.

    Raises
    ------
    InputError
        As of :func:`open_stream`, or if there is nothing but space.
    """
    blocks = _blocks(source, progress, max_line, block or BLOCK)
    blank = True
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(next, blocks, None)
        try:
            while (current := pending.result()) is not None:
                pending = pool.submit(next, blocks, None)
                blank = blank and not current.too_long and not any(map(bytes.strip, current.lines))
                yield current
        finally:
            pending.cancel()
            pool.shutdown()
            blocks.close()
    if blank:
        raise InputError(f"{source}: is empty; expected at least one line")


def first_bytes(source: str | Path, count: int) -> bytes:
    """Return the first bytes of a file as it is stored."""
    with ExitStack() as stack:
        raw, _ = open_raw(source, stack)
        with _told(source):
            return raw.read(count)


def sniff_lines(source: str | Path, count: int) -> LineBlock:
    """Return about the first ``count`` lines, the last of them whole."""
    lines: list[bytes] = []
    too_long: list[tuple[int, bytes]] = []
    blocks = _blocks(source, None, MAX_LINE, 256 << 10)
    for block in blocks:
        lines += block.lines
        too_long += block.too_long
        if len(lines) >= count:
            break
    blocks.close()
    return LineBlock(1, lines[:count], tuple(pair for pair in too_long if pair[0] <= count))


def _blocks(
    source: str | Path, progress: Progress | None, max_line: int, block: int
) -> Generator[LineBlock, None, None]:
    done = 0

    def tell(read: int, size: int | None) -> None:
        if progress is not None:
            progress(read, size, done)

    with open_stream(source, tell) as stream:
        rest: list[bytes] = []
        held = 0
        beginning: bytes | None = None  # of a line that is too long and still goes on
        first = True
        while data := stream.read(block):
            if first:
                _refuse_other_kinds(source, data)
                data = data.removeprefix(b"\xef\xbb\xbf")
                first = False
            head, feed, tail = data.rpartition(b"\n")
            if not feed:
                if beginning is None:
                    rest.append(tail)
                    held += len(tail)
                    if held > max_line:
                        beginning, rest, held = b"".join(rest)[:_BEGINNING], [], 0
                continue
            rest.append(head)
            lines = b"".join(rest).split(b"\n")
            too_long = []
            if beginning is not None:
                too_long.append((done + 1, beginning))
                lines[0], beginning = b"", None
            if max(map(len, lines)) > max_line:
                for index, line in enumerate(lines):
                    if len(line) > max_line:
                        too_long.append((done + 1 + index, line[:_BEGINNING]))
                        lines[index] = b""
            rest, held = [tail], len(tail)
            yield LineBlock(done + 1, lines, tuple(too_long))
            done += len(lines)
        last = b"".join(rest)
        if len(last) > max_line:
            beginning = last[:_BEGINNING]
        if beginning is not None:
            yield LineBlock(done + 1, [b""], ((done + 1, beginning),))
            done += 1
        elif last:
            yield LineBlock(done + 1, [last])
            done += 1


def open_raw(source: str | Path, stack: ExitStack) -> tuple[BinaryIO, int | None]:
    """Open a path or URL as it is stored, to be closed with ``stack``; return it with its size if known.

    Raises
    ------
    InputError
        If it can't be opened or is a folder.
    """
    if isinstance(source, str) and "://" in source:
        return _open_url(source, stack)
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{path}: can't be read (is a folder); expected a file")
    try:
        file = stack.enter_context(path.open("rb"))
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from error
    return file, path.stat().st_size if path.is_file() else None


def _open_url(source: str, stack: ExitStack) -> tuple[BinaryIO, int | None]:
    try:
        import fsspec.core  # type: ignore[import-untyped]  # noqa: PLC0415  (only for URLs)
    except ImportError as error:
        raise InputError(f"{source}: is a URL, which needs fsspec; pip install fsspec") from error
    try:
        system, path = fsspec.core.url_to_fs(source)
        if system.isdir(path):
            raise InputError(f"{source}: can't be read (is a folder); expected a file")
        file = stack.enter_context(system.open(path, "rb"))
        return file, system.size(path)
    except (OSError, ValueError, ImportError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source}: can't be read ({str(error) or type(error).__name__})") from error


def _compression(head: bytes) -> str | None:
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    # A zstd frame, or a skippable one before it.
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        return "zstd"
    return None


def _refuse_other_kinds(source: str | Path, data: bytes) -> None:
    for magic, called in _MAGIC.items():
        if data.startswith(magic):
            advice = ", so save it as UTF-8" if "text" in called else ""
            raise InputError(f"{source}: is {called}; expected UTF-8 text{advice}")
    if data[_TAR] == b"ustar":
        raise InputError(f"{source}: is a tar archive; expected one text file, so unpack it")


class _Counted(io.RawIOBase):
    """Counts the bytes that are read of a file."""

    def __init__(
        self, raw: BinaryIO, size: int | None, progress: Callable[[int, int | None], None] | None
    ) -> None:
        self._raw = raw
        self._size = size
        self._progress = progress
        self._count = 0
        self._head = b""

    def peek(self, size: int) -> bytes:
        self._head = self._raw.read(size)
        return self._head

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._head + self._raw.read(max(size - len(self._head), 0))
        self._head = b""
        self._count += len(data)
        if self._progress is not None:
            self._progress(self._count, self._size)
        return data


class _Guarded:
    """Turns what can go wrong in reading into ``InputError``."""

    def __init__(self, source: str | Path, stream: Readable) -> None:
        self._source = source
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        with _told(self._source):
            return self._stream.read(size)


@contextmanager
def _told(source: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if "runcated" in reason:
            raise InputError(f"{source}: the compressed file ends early; expected all of it") from error
        if "inflate" in reason or "decompress" in reason.lower():
            raise InputError(f"{source}: the compressed file is damaged ({reason})") from error
        raise InputError(f"{source}: can't be read ({reason})") from error
