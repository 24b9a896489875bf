"""JSON lines into typed records: a quick way for lines as they should be, a tolerant one for the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from kg_builders.sources.bad import BadRecords
from kg_builders.sources.streams import MAX_LINE, LineBlock

__all__ = ["JsonLines", "parse_json"]

Coerce = Callable[[Any], Any]

_ANY = msgspec.json.Decoder(dict[str, Any])


class JsonLines:
    """Decodes the lines of a file into objects that have the wanted fields as attributes.

    Parameters
    ----------
    types
        Field to the type annotation that its values should have, for the quick way.
    coerce
        Field to the function that brings any other value into that form, or to None.
    parse
        Reads a line as Python values where it isn't JSON, such as a Python literal; raises ``ValueError``
        with the reason. By default, JSON with ``NaN`` and ``Infinity``, which many writers emit.
    """

    def __init__(
        self,
        types: Mapping[str, Any],
        coerce: Mapping[str, Coerce],
        parse: Callable[[bytes], Any] | None = None,
    ) -> None:
        # Fields are numbered, as a name in JSON needn't be one in Python.
        self._attributes = {name: f"f{index}" for index, name in enumerate(types)}
        self._coerce = {self._attributes[name]: function for name, function in coerce.items()}
        self._decode = msgspec.json.Decoder(self._struct(types)).decode
        self._loose = msgspec.json.Decoder(self._struct(dict.fromkeys(types, Any)))
        self._parse = parse or parse_json

    def attribute(self, field: str) -> str:
        """Return the name of the attribute that holds a field."""
        return self._attributes[field]

    def decode(self, block: LineBlock, bad: BadRecords) -> tuple[list[int], list[Any]]:
        """Return the line numbers and the records of a block; blank lines are skipped, bad ones counted."""
        return self._each(block, bad, self._decode, self._tolerant)

    def decode_any(self, block: LineBlock, bad: BadRecords) -> tuple[list[int], list[dict[str, Any]]]:
        """Return the line numbers and the records of a block as dictionaries of all their fields."""
        return self._each(block, bad, _ANY.decode, self._dictionary)

    def column(self, records: list[Any], field: str) -> list[Any]:
        """Return the values of a field."""
        attribute = self._attributes[field]
        return [getattr(record, attribute) for record in records]

    @staticmethod
    def _each(
        block: LineBlock, bad: BadRecords, decode: Callable[[bytes], Any], tolerant: Callable[[bytes], Any]
    ) -> tuple[list[int], list[Any]]:
        numbers: list[int] = []
        records: list[Any] = []
        for at, beginning in block.too_long:
            bad.total += 1
            bad.add(at, beginning, f"is longer than {MAX_LINE >> 20} MiB")
        for number, line in enumerate(block.lines, start=block.first):
            if not line:
                continue
            try:
                record = decode(line)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                if line.isspace():
                    continue
                try:
                    record = tolerant(line)
                except ValueError as error:
                    bad.total += 1
                    bad.add(number, line, str(error))
                    continue
            numbers.append(number)
            records.append(record)
        bad.total += len(records)
        return numbers, records

    def _tolerant(self, line: bytes) -> Any:
        try:
            record = self._loose.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            record = self._loose.decode(self._encoded(line))
        for attribute, function in self._coerce.items():
            setattr(record, attribute, function(getattr(record, attribute)))
        return record

    def _dictionary(self, line: bytes) -> Any:
        return _ANY.decode(self._encoded(line))

    def _encoded(self, line: bytes) -> bytes:
        """Return what a line holds as strict JSON."""
        value = self._parse(line)
        if not isinstance(value, dict):
            raise ValueError(_not_an_object(value))
        try:
            # This refuses what no text may hold, such as half a surrogate pair.
            encoded = msgspec.json.encode(value)
            _ANY.decode(encoded)
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"holds what can't be read ({error})") from error
        return encoded

    def _struct(self, types: Mapping[str, Any]) -> type[msgspec.Struct]:
        # Records hold no cycles, so Python's garbage collector needn't look at them.
        return msgspec.defstruct(
            "Record",
            [
                (self._attributes[name], kind | None, None)
                if kind is not Any
                else (self._attributes[name], Any, None)
                for name, kind in types.items()
            ],
            rename={attribute: name for name, attribute in self._attributes.items()},
            gc=False,
        )


def parse_json(line: bytes) -> Any:
    """Read a line of JSON in which ``NaN`` and infinities, as Python writes them, stand for null.

    Raises
    ------
    ValueError
        With the reason, fit for a bad record.
    """
    if b"\0" in line:
        raise ValueError("holds a NUL byte")
    try:
        return json.loads(line.decode("utf-8"), parse_constant=lambda _: None)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {line[error.start]:#04x} isn't UTF-8") from error
    except RecursionError as error:
        raise ValueError("isn't valid JSON (nested too deeply)") from error
    except ValueError as error:
        raise ValueError(f"isn't valid JSON ({error})") from error


def _not_an_object(value: Any) -> str:
    called = {"list": "list", "str": "text", "int": "number", "float": "number", "bool": "truth value"}
    return f"is a JSON {called.get(type(value).__name__, 'null')}; expected an object with fields"
