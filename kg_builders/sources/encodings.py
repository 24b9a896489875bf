"""From bytes to text: which encodings are read, and what becomes of lines that can't be."""

from __future__ import annotations

from kg_builders.sources.bad import BadRecords
from kg_builders.sources.streams import MAX_LINE, LineBlock

__all__ = ["check_encoding", "decode_lines"]


def check_encoding(encoding: str) -> None:
    """Refuse with ``ValueError`` an encoding that is unknown, or whose lines don't end as in ASCII."""
    marks = "\r\n,;\t\"'"
    try:
        kept = marks.encode("ascii").decode(encoding) == marks
    except LookupError as error:
        raise ValueError(f"unknown encoding {encoding!r}; expected one such as utf-8") from error
    except UnicodeError:
        kept = False
    if not kept:
        raise ValueError(
            f"encoding {encoding!r} isn't read, since its lines don't end as in ASCII; expected one such as "
            "utf-8, cp1252 or latin-1, so save the file as UTF-8"
        )


def decode_lines(
    block: LineBlock, bad: BadRecords, encoding: str = "utf-8", keep_returns: bool = False
) -> list[str]:
    """Decode the lines of a block; those that are too long, hold NUL bytes or can't be decoded become empty.

    Such lines are counted as bad records. A carriage return at the end of a line is taken off, unless it
    may be in the middle of a quoted value and so has to be kept.
    """
    for at, beginning in block.too_long:
        bad.total += 1
        bad.add(at, beginning, f"is longer than {MAX_LINE >> 20} MiB")
    joined = b"\n".join(block.lines)
    if b"\0" not in joined:
        try:
            text = joined.decode(encoding)
            if not keep_returns:
                text = text.replace("\r\n", "\n").removesuffix("\r")
            return text.split("\n")
        except UnicodeDecodeError:
            pass
    lines = []
    for number, line in enumerate(block.lines, start=block.first):
        reason = "holds a NUL byte" if b"\0" in line else ""
        try:
            text = line.decode(encoding)
            text = text if keep_returns else text.removesuffix("\r")
        except UnicodeDecodeError as error:
            called = "UTF-8" if encoding == "utf-8" else encoding
            reason = reason or f"byte {line[error.start]:#04x} isn't {called}"
        if reason:
            bad.total += 1
            bad.add(number, line, reason)
            text = ""
        lines.append(text)
    return lines
