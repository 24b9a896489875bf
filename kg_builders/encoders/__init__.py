"""Raw texts, pictures and sounds of items -> matrices of features, by encoders that can be plugged in."""

from kg_builders.encoders.base import Encoded, Encoder, UnreadableError
from kg_builders.encoders.encode import EncodeResult, encode_items
from kg_builders.encoders.registry import create_encoder, encoder_names
from kg_builders.encoders.store import FeatureRecord, read_features_record, write_features

__all__ = [
    "EncodeResult",
    "Encoded",
    "Encoder",
    "FeatureRecord",
    "UnreadableError",
    "create_encoder",
    "encode_items",
    "encoder_names",
    "read_features_record",
    "write_features",
]
