"""Raw metadata formats, one module each, read into uniform item records."""

from kg_builders.sources.delimited import read_delimited
from kg_builders.sources.lastfm import read_lastfm
from kg_builders.sources.recbole import read_atomic, read_recbole_items, read_recbole_kg
from kg_builders.sources.records import ItemRecords
from kg_builders.sources.tabular import read_tabular
from kg_builders.sources.triples import ExternalTriples, read_item_links, read_triples

__all__ = [
    "ExternalTriples",
    "ItemRecords",
    "read_atomic",
    "read_delimited",
    "read_item_links",
    "read_lastfm",
    "read_recbole_items",
    "read_recbole_kg",
    "read_tabular",
    "read_triples",
]
