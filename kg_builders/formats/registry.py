"""The formats by name: what writes and reads each, as a file or a folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kg_builders.config import nearest
from kg_builders.errors import InputError
from kg_builders.formats.atomic import refuse_existing, staged_file, staged_folder, writing
from kg_builders.formats.graphml import read_graphml, write_graphml
from kg_builders.formats.kgat import FILES, read_kgat, write_kgat
from kg_builders.formats.ntriples import read_ntriples, write_ntriples
from kg_builders.formats.parquet import read_knowledge_graph, write_knowledge_graph
from kg_builders.formats.recbole import SUFFIXES, read_recbole, write_recbole
from kg_builders.schema import KnowledgeGraph

__all__ = ["GraphFormat", "export_formats", "export_graph", "import_graph"]


@dataclass(frozen=True)
class GraphFormat:
    """A format of knowledge graphs.

    Parameters
    ----------
    name
        What it is called in options.
    summary
        What it is, in a line.
    folder
        Whether it is a folder; otherwise a file.
    write_options, read_options
        Names of the options that writing and reading take, with their defaults.
    """

    name: str
    summary: str
    folder: bool
    write_options: Mapping[str, Any]
    read_options: Mapping[str, Any]


@dataclass(frozen=True)
class _Codec:
    summary: str
    write: Callable[..., None]
    read: Callable[..., KnowledgeGraph]
    endings: tuple[str, ...] = ()
    """How the names of its files end, by which a folder that may be overwritten is told; none for a file."""


_CODECS = {
    "recbole": _Codec("RecBole's atomic files .kg, .link and .item", write_recbole, read_recbole, SUFFIXES),
    "kgat": _Codec("kg_final.txt and its lists, as of KGAT", write_kgat, read_kgat, FILES),
    "ntriples": _Codec("RDF in N-Triples", write_ntriples, read_ntriples),
    "graphml": _Codec("GraphML, for Gephi, Cytoscape, yEd", write_graphml, read_graphml),
}
_NATIVE = GraphFormat("parquet", "three Parquet tables, the native format", True, {}, {})


def export_formats() -> tuple[GraphFormat, ...]:
    """Return the formats that graphs are written to and read from, the native one first."""
    others = (
        GraphFormat(
            name,
            codec.summary,
            bool(codec.endings),
            _options(codec.write, after=3),
            _options(codec.read, after=1),
        )
        for name, codec in _CODECS.items()
    )
    return (_NATIVE, *others)


def export_graph(
    kg: KnowledgeGraph, path: str | Path, format: str, overwrite: bool = False, **options: Any
) -> None:
    """Write a graph in one of the formats.

    It is written beside its destination and renamed, so that it appears whole or not at all. What a format
    can't hold is told by its module: it is kept in files beside, refused, or lost as stated there.

    Parameters
    ----------
    path
        The file, or the folder for formats of several files; its parents are made where missing.
    format
        Name of one of :func:`export_formats`.
    overwrite
        Replace a file, or a folder that holds nothing but files of this format.
    options
        Of the format: ``name``, ``items`` and ``provenance`` (``recbole``), ``base`` and ``provenance``
        (``ntriples``).

    Raises
    ------
    InputError
        If there is no such format or option, ``path`` is taken or can't be written, or the graph has what
        the format can't hold.
    """
    path = Path(path)
    if format == _NATIVE.name:
        _check_options(format, options, {})
        write_knowledge_graph(kg, path, overwrite)
        return
    codec = _codec(format)
    _check_options(format, options, _options(codec.write, after=3))
    if not codec.endings:
        refuse_existing(path, overwrite, "a file", Path.is_file)
        with staged_file(path) as file, writing(path):
            codec.write(kg, file, path, **options)
        return
    refuse_existing(path, overwrite, f"a folder of {codec.summary}", lambda folder: _is_of(folder, codec))
    with staged_folder(path) as folder, writing(path):
        codec.write(kg, folder, path, **options)


def import_graph(path: str | Path, format: str, **options: Any) -> KnowledgeGraph:
    """Read a graph in one of the formats, written by :func:`export_graph` or by another tool.

    Parameters
    ----------
    format
        Name of one of :func:`export_formats`.
    options
        Of the format: ``name`` (``recbole``).

    Raises
    ------
    InputError
        If there is no such format or option, or what is there can't be read, with file and line.
    """
    if format == _NATIVE.name:
        _check_options(format, options, {})
        return read_knowledge_graph(path)
    codec = _codec(format)
    _check_options(format, options, _options(codec.read, after=1))
    return codec.read(Path(path), **options)


def _codec(name: str) -> _Codec:
    if name not in _CODECS:
        raise InputError(f"no graph format {name!r}{nearest(name, [_NATIVE.name, *_CODECS])}")
    return _CODECS[name]


def _is_of(folder: Path, codec: _Codec) -> bool:
    return folder.is_dir() and all(
        entry.name.endswith(codec.endings) and entry.is_file() for entry in folder.iterdir()
    )


def _options(function: Callable[..., Any], after: int) -> dict[str, Any]:
    parameters = list(inspect.signature(function).parameters.values())[after:]
    return {parameter.name: parameter.default for parameter in parameters}


def _check_options(format_: str, options: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for name in options:
        if name not in known:
            told = nearest(name, known) if known else "; expected none"
            raise InputError(f"graph format {format_}: no option {name!r}{told}")
        wanted = bool if isinstance(known[name], bool) else str
        if not isinstance(options[name], wanted):
            expected = "true or false" if wanted is bool else "a text"
            raise InputError(f"graph format {format_}: {name} is {options[name]!r}; expected {expected}")
