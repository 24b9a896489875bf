"""Bad records: counted, the first few kept to be quoted, and past a stated share the end of the reading."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kg_builders.errors import InputError
from kg_builders.sources.streams import file_name

__all__ = ["MAX_BAD", "BadRecord", "BadRecords", "ValueProblem", "shorten"]

MAX_BAD = 0.01
"""Share of bad records that is tolerated by default."""

_QUOTED = 5
_SHOWN = 3
_EARLY = 5_000


def shorten(text: str | bytes, length: int = 80) -> str:
    """Return a value as a quotation of at most about ``length`` characters.

    Examples
    --------
    >>> shorten(b"a" * 100, 10)
    "'aaaaaaaaaa...'"
    """
    if isinstance(text, bytes):
        text = text[: 4 * length + 4].decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= length else f"{text[:length]}...")


@dataclass(frozen=True)
class BadRecord:
    """A record that was left out: its line from 1, its beginning in quotation marks, and why."""

    line: int
    text: str
    reason: str

    def __str__(self) -> str:
        return (
            f"line {self.line}: {self.reason} ({self.text})"
            if self.text
            else f"line {self.line}: {self.reason}"
        )


@dataclass
class ValueProblem:
    """Values of one field that were cut or left out while their records were kept."""

    count: int = 0
    first: list[BadRecord] = field(default_factory=list)


@dataclass
class BadRecords:
    """What was wrong in a file, as it is read.

    Parameters
    ----------
    file
        Name of the file, for messages.
    max_bad
        Share of the records that may be bad, and share of the records whose value of one field may be;
        0 tolerates none.

    Attributes
    ----------
    total
        Number of records so far, bad ones among them.
    count
        Number of bad ones.
    first
        The first few of them.
    values
        ``field: what`` to values that were left out although the record was kept, such as numbers
        that aren't any; past ``max_bad`` they end the reading too.
    cut
        ``field: what`` to values that were shortened; told, and never an error.
    others
        The same of further files that the records come from.
    """

    file: str
    max_bad: float = MAX_BAD
    total: int = 0
    count: int = 0
    first: list[BadRecord] = field(default_factory=list)
    values: dict[str, ValueProblem] = field(default_factory=dict)
    cut: dict[str, ValueProblem] = field(default_factory=dict)
    others: list[BadRecords] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_bad <= 1.0:
            raise InputError(f"max_bad is {self.max_bad}; expected a share between 0 and 1")

    def add(self, line: int, text: str | bytes, reason: str) -> None:
        """Count a bad record; it must be in ``total`` too. The first few by line are kept."""
        self.count += 1
        if len(self.first) < _QUOTED or line < self.first[-1].line:
            self.first.append(BadRecord(line, shorten(text) if text else "", reason))
            self.first.sort(key=lambda record: record.line)
            del self.first[_QUOTED:]

    def add_value(self, name: str, what: str, line: int, text: str, count: int = 1) -> None:
        """Count values of a field that were left out; ``line`` and ``text`` are those of the first."""
        self._note(self.values, name, what, line, text, count)

    def add_cut(self, name: str, what: str, line: int, text: str, count: int = 1) -> None:
        """Count values of a field that were shortened."""
        self._note(self.cut, name, what, line, text, count)

    def check(self, final: bool = False) -> None:
        """Raise ``InputError`` if too much is bad.

        Before the end, the share is taken of at least 5,000 records, so that a file that is wrong
        throughout fails soon and a bad beginning of a good one doesn't.
        """
        base = self.total if final else max(self.total, _EARLY)
        if self.count > self.max_bad * base:
            others = "; ".join(str(record) for record in self.first[1:_SHOWN])
            raise InputError(
                f"{self.file}, {self.first[0]}"
                + (f"; {self._share(self.count, 'bad')}" if self.max_bad else "")
                + (f"; also {others}" if others else "")
            )
        for what, problem in self.values.items():
            if problem.count > self.max_bad * base:
                first = problem.first[0]
                raise InputError(
                    f"{self.file}, line {first.line}: {what}, got {first.text}"
                    + (f"; {self._share(problem.count, 'so')}" if self.max_bad else "")
                )

    def join(self, other: BadRecords) -> None:
        """Take in what was bad in a further file, so that one object tells of all that was read."""
        self.others.append(other)

    def sentences(self) -> list[str]:
        """Say in a line each what was left out or cut; nothing if all was well."""
        lines = []
        if self.count:
            shown = "; ".join(str(record) for record in self.first[:_SHOWN])
            lines.append(f"{self.file}: {self.count:,} of {self.total:,} records left out: {shown}")
        for problems in (self.values, self.cut):
            for what, problem in problems.items():
                first = problem.first[0]
                lines.append(
                    f"{self.file}: {what} in {problem.count:,} of {self.total:,} records, "
                    f"first on line {first.line}: {first.text}"
                )
        return lines + [line for other in self.others for line in other.sentences()]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the file by its name alone, so that reports are the same anywhere."""
        return {
            "file": file_name(self.file),
            "records": self.total,
            "bad": self.count,
            "max_bad": self.max_bad,
            "first": [_plain(record) for record in self.first],
            "values": _plain_problems(self.values),
            "cut": _plain_problems(self.cut),
            "others": [other.to_dict() for other in self.others],
        }

    def _share(self, count: int, how: str) -> str:
        verb = "is" if count == 1 else "are"
        return (
            f"{count:,} of {self.total:,} records {verb} {how}, "
            f"more than the {self.max_bad:.1%} that max_bad allows"
        )

    @staticmethod
    def _note(
        problems: dict[str, ValueProblem], name: str, what: str, line: int, text: str, count: int
    ) -> None:
        problem = problems.setdefault(f"{name} {what}", ValueProblem())
        problem.count += count
        if len(problem.first) < _QUOTED:
            problem.first.append(BadRecord(line, shorten(text), what))


def _plain(record: BadRecord) -> dict[str, Any]:
    return {"line": record.line, "text": record.text, "reason": record.reason}


def _plain_problems(problems: dict[str, ValueProblem]) -> dict[str, Any]:
    return {
        what: {"count": problem.count, "first": [_plain(record) for record in problem.first]}
        for what, problem in problems.items()
    }
