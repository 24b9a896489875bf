"""Raw metadata formats, one module each, read into uniform item records."""

from kg_builders.sources.amazon import detect_version, read_amazon
from kg_builders.sources.bad import BadRecords
from kg_builders.sources.delimited import read_delimited
from kg_builders.sources.lastfm import read_lastfm
from kg_builders.sources.mapping import FieldMapping, TableMapping, load_mapping, parse_mapping
from kg_builders.sources.movielens import read_movielens
from kg_builders.sources.recbole import read_atomic, read_recbole_items, read_recbole_kg
from kg_builders.sources.records import ItemRecords
from kg_builders.sources.staging import StagedTable
from kg_builders.sources.tabular import read_table, read_tabular
from kg_builders.sources.triples import ExternalTriples, read_item_links, read_triples

__all__ = [
    "BadRecords",
    "ExternalTriples",
    "FieldMapping",
    "ItemRecords",
    "StagedTable",
    "TableMapping",
    "detect_version",
    "load_mapping",
    "parse_mapping",
    "read_amazon",
    "read_atomic",
    "read_delimited",
    "read_item_links",
    "read_lastfm",
    "read_movielens",
    "read_recbole_items",
    "read_recbole_kg",
    "read_table",
    "read_tabular",
    "read_triples",
]
