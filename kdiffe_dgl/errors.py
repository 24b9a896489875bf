"""The error that bad input raises, the same in both packages."""

from kg_builders.errors import InputError

__all__ = ["InputError"]
