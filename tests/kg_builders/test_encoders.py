"""The interface, the registry, the text encoder, and what is stored."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders import InputError
from kg_builders.config import StrictModel
from kg_builders.encoders import (
    Encoded,
    Encoder,
    FeatureRecord,
    create_encoder,
    encode_items,
    encoder_names,
    read_features_record,
    write_features,
)
from kg_builders.encoders import encode as encode_module
from kg_builders.encoders.store import fill_missing
from kg_builders.neighbours import nearest_neighbours, unit_rows
from kg_builders.sources import ItemRecords

WORDS = {
    "sea": ["wave", "harbour", "sailor", "tide", "whale", "anchor"],
    "space": ["planet", "rocket", "orbit", "comet", "galaxy", "astronaut"],
    "food": ["soup", "bread", "kitchen", "pepper", "cheese", "oven"],
}


def topics(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    names = [list(WORDS)[int(topic)] for topic in rng.integers(0, len(WORDS), count)]
    return [" ".join(rng.choice(WORDS[name], 4)) for name in names], names


class LengthSettings(StrictModel):
    scale: float = 1.0


class LengthEncoder(Encoder[LengthSettings]):
    """Length of the text; a real plug-in that can be told to stop."""

    name = "length"
    version = "1"
    modality = "text"
    Settings = LengthSettings
    batch_size = 3
    stop_at: int | None = None
    calls = 0

    def encode_batch(self, inputs: Sequence[Any]) -> Encoded:
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        self.calls += 1
        matrix = np.array([[len(text or ""), 1.0] for text in inputs], dtype=np.float32)
        return Encoded(matrix * self.settings.scale, {i: "no text" for i, t in enumerate(inputs) if not t})


def test_neighbours_by_text_share_the_topic_far_above_chance() -> None:
    texts, names = topics(120)
    encoded = create_encoder("tfidf", {"width": 16}).encode(texts)
    assert encoded.matrix.shape == (120, 16)
    assert encoded.matrix.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(encoded.matrix, axis=1), 1, atol=1e-5)
    row, neighbour, _ = nearest_neighbours(*unit_rows(encoded.matrix, True), 5)
    labels = np.array(names)
    assert np.mean(labels[row] == labels[neighbour]) > 0.95


def test_tfidf_with_all_directions_keeps_the_cosines_of_the_weights() -> None:
    """Oracle: with as many directions as terms, a projection changes no angle."""
    texts = ["red apple", "apple red tree", "tree blue", "blue sky sky", "sky tree red"]
    encoded = create_encoder("tfidf", {"words": 1, "min_items": 1, "max_share": 1.0}).encode(texts)
    terms = sorted({word for text in texts for word in text.split()})
    counts = np.array([[text.split().count(term) for term in terms] for text in texts], dtype=float)
    inverse = np.log((1 + len(texts)) / (1 + (counts > 0).sum(axis=0))) + 1
    weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * inverse
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    np.testing.assert_allclose(encoded.matrix @ encoded.matrix.T, weights @ weights.T, atol=1e-5)


def test_texts_without_a_known_term_are_missing_and_batches_do_not_matter() -> None:
    texts: list[str | None] = [*topics(50)[0], None, "  ", "xylophone"]
    encoder = create_encoder("tfidf")
    whole = encoder.encode(texts)
    assert dict(whole.problems) == {50: "no text", 51: "no text", 52: "no term that the others have"}
    assert not whole.matrix[whole.missing].any()
    encoder.batch_size = 7
    np.testing.assert_array_equal(encoder.encode(texts).matrix, whole.matrix)


def test_terms_are_learned_from_a_sample_if_there_are_many_texts() -> None:
    texts, names = topics(400)
    encoded = create_encoder("tfidf", {"sample": 60}).encode(texts)
    row, neighbour, _ = nearest_neighbours(*unit_rows(encoded.matrix, True), 5)
    labels = np.array(names)
    assert np.mean(labels[row] == labels[neighbour]) > 0.95


def test_texts_that_share_nothing_are_refused_in_one_sentence() -> None:
    with pytest.raises(InputError, match=r"tfidf: no term is left of 2 texts .*min_items=2"):
        create_encoder("tfidf").encode(["alpha", "beta"])
    with pytest.raises(InputError, match="tfidf: no inputs"):
        create_encoder("tfidf").encode([])


def test_names_settings_and_plug_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="unknown encoder 'tfid'; did you mean 'tfidf'"):
        create_encoder("tfid")
    with pytest.raises(InputError, match="encoder tfidf: unknown key 'widht'; did you mean 'width'"):
        create_encoder("tfidf", {"widht": 3})
    assert "shouting" not in encoder_names()
    (tmp_path / "shouting_plugin.py").write_text(
        "import numpy as np\n"
        "from kg_builders.config import StrictModel\n"
        "from kg_builders.encoders import Encoded, Encoder\n"
        "class Shouting(Encoder):\n"
        "    name, version, modality, Settings = 'shouting', '1', 'text', StrictModel\n"
        "    def encode_batch(self, inputs):\n"
        "        return Encoded(np.array([[sum(map(str.isupper, text))] for text in inputs], 'f4'), {})\n"
        "class Nothing: pass\n"
    )
    info = tmp_path / "shouting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    points = ["shouting = shouting_plugin:Shouting", "none = shouting_plugin:Nothing", "lost = nowhere:X"]
    points.append("tfidf = shouting_plugin:Shouting")
    (info / "entry_points.txt").write_text("[kg_builders.encoders]\n" + "\n".join(points) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert encoder_names()[-3:] == ["lost", "none", "shouting"]
    assert create_encoder("shouting").encode(["aB", "AB"]).matrix.tolist() == [[1], [2]]
    assert create_encoder("tfidf").name == "tfidf"
    with pytest.raises(InputError, match="'none': shouting_plugin:Nothing is no subclass of Encoder"):
        create_encoder("none")
    with pytest.raises(InputError, match="'lost': nowhere:X can't be imported"):
        create_encoder("lost")


def test_every_built_in_encoder_describes_itself_without_its_libraries() -> None:
    for name in encoder_names():
        encoder = create_encoder(name)
        described = encoder.describe()
        assert described["encoder"] == name
        assert set(described) == {"encoder", "version", "settings", "model", "libraries"}
        assert json.loads(json.dumps(described)) == described


def records() -> ItemRecords:
    texts, _ = topics(40)
    frame = pl.DataFrame(
        {
            "id": [f"i{n}" for n in range(40)],
            "title": [*texts[:39], None],
            "tags": [["wave", "tide"]] * 38 + [[], None],
            "details": [[{"key": "size", "value": "big"}]] * 20 + [None] * 20,
            "paths": [[["a", "b"], ["c"]]] * 40,
            "price": [1.5] * 39 + [None],
        }
    )
    return ItemRecords(frame, {"title": "items.jsonl"})


def test_encode_items_writes_matrix_and_record_and_skips_the_same_again(tmp_path: Path) -> None:
    ids = [f"i{n}" for n in range(39, -1, -1)] + ["unknown"]
    calls: list[tuple[int, int]] = []
    result = encode_items(
        records(), ids, "tfidf", tmp_path, fields=["title"], progress=lambda *now: calls.append(now)
    )
    matrix = np.load(result.path, allow_pickle=False)
    assert result.path == tmp_path / "text.npy"
    assert (matrix.shape[0], matrix.dtype, calls[-1]) == (41, np.float32, (41, 41))
    record = read_features_record(result.path, verify=True)
    assert record == result.record
    assert record is not None
    assert record.missing_rows == (0, 40)
    assert np.flatnonzero(record.missing_mask()).tolist() == [0, 40]
    assert [problem.id for problem in record.problems] == ["i39", "unknown"]
    np.testing.assert_allclose(matrix[0], matrix[1:40].mean(axis=0), atol=1e-6)
    assert record.matrix_hash == hashlib.sha256(result.path.read_bytes()).hexdigest()
    assert record.source == {"fields": ["title"], "files": ["items.jsonl"]}
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(before) == ["text.json", "text.npy"]
    again = encode_items(records(), ids, "tfidf", tmp_path, fields=["title"])
    assert again.skipped
    assert not encode_items(records(), ids, "tfidf", tmp_path, fields=["title"], force=True).skipped
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    # Another order, other fields or other settings are another matrix.
    assert not encode_items(records(), ids[::-1], "tfidf", tmp_path, fields=["title"]).skipped
    zeros = encode_items(records(), ids[::-1], "tfidf", tmp_path, fields=["title"], fill="zeros")
    assert not zeros.skipped
    assert not np.load(zeros.path)[40].any()
    other = create_encoder("tfidf", {"width": 4})
    assert not encode_items(records(), ids[::-1], other, tmp_path, fields=["title"], fill="zeros").skipped
    # A matrix that was changed may be somebody's work: it is encoded again only where that is allowed.
    (tmp_path / "text.npy").write_bytes(b"spoiled")
    options: dict[str, Any] = {"fields": ["title"], "fill": "zeros"}
    with pytest.raises(InputError, match=r"text.npy: exists already, and not as an encoder wrote it"):
        encode_items(records(), ids[::-1], other, tmp_path, **options)
    assert (tmp_path / "text.npy").read_bytes() == b"spoiled"
    assert not encode_items(records(), ids[::-1], other, tmp_path, **options, overwrite=True).skipped
    assert encode_items(records(), ids[::-1], other, tmp_path, **options).skipped


@pytest.mark.parametrize("name", ["text.npy", "text.json"])
@pytest.mark.parametrize("force", [False, True])
def test_what_no_encoder_wrote_is_not_replaced(tmp_path: Path, name: str, force: bool) -> None:
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(InputError, match=rf"{name}: exists already, .* to replace it \(--overwrite\)"):
        encode_items(records(), None, "tfidf", tmp_path, fields=["title"], force=force)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {name: b"mine"}
    encode_items(records(), None, "tfidf", tmp_path, fields=["title"], force=force, overwrite=True)
    assert read_features_record(tmp_path / "text.npy", verify=True) is not None
    # A record without its matrix is what an encoder left.
    (tmp_path / "text.npy").unlink()
    assert not encode_items(records(), None, "tfidf", tmp_path, fields=["title"], force=force).skipped


def test_fields_of_every_type_become_text(tmp_path: Path) -> None:
    from kg_builders.encoders.inputs import texts_of_fields

    made = texts_of_fields(records(), ["i0", "i39"], ["tags", "details", "paths", "price"])
    assert list(made.values) == ["wave, tide. size: big. a, b, c. 1.5", "a, b, c"]


def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode_module, "CHECKPOINT_SECONDS", 0.0)
    frame = pl.DataFrame({"id": [str(n) for n in range(20)], "t": ["x" * (n % 7) for n in range(20)]})
    whole = encode_items(frame, None, LengthEncoder(), tmp_path / "whole" / "t.npy", fields=["t"])
    out = tmp_path / "parts" / "t.npy"
    stopping = LengthEncoder()
    stopping.stop_at = 4
    with pytest.raises(KeyboardInterrupt):
        encode_items(frame, None, stopping, out, fields=["t"])
    assert sorted(os.listdir(out.parent)) == [".t.partial.json", ".t.partial.npy"]
    # Another encoder does not go on from it, nor leave the note beside its own rows.
    other = LengthEncoder(LengthSettings(scale=2.0))
    other.stop_at = 0
    with pytest.raises(KeyboardInterrupt):
        encode_items(frame, None, other, out, fields=["t"])
    assert os.listdir(out.parent) == []
    stopping = LengthEncoder()
    stopping.stop_at = 4
    with pytest.raises(KeyboardInterrupt):
        encode_items(frame, None, stopping, out, fields=["t"])
    going_on = LengthEncoder()
    result = encode_items(frame, None, going_on, out, fields=["t"])
    assert (result.resumed, going_on.calls) == (12, 3)
    assert sorted(os.listdir(out.parent)) == ["t.json", "t.npy"]
    for name in ("t.json", "t.npy"):
        assert (out.parent / name).read_bytes() == (whole.path.parent / name).read_bytes()


def test_a_run_stopped_early_leaves_nothing(tmp_path: Path) -> None:
    stopping = LengthEncoder()
    stopping.stop_at = 2
    frame = pl.DataFrame({"id": [str(n) for n in range(20)], "t": ["x"] * 20})
    with pytest.raises(KeyboardInterrupt):
        encode_items(frame, None, stopping, tmp_path, fields=["t"])
    assert os.listdir(tmp_path) == []


@given(
    st.lists(st.lists(st.integers(-5, 5), min_size=2, max_size=2), min_size=1, max_size=12),
    st.data(),
    st.sampled_from(["mean", "zeros"]),
)
@settings(max_examples=60, deadline=None)
def test_filling(rows: list[list[int]], data: st.DataObject, fill: Any) -> None:
    matrix = np.array(rows, dtype=np.float32)
    missing = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    expected = matrix.copy()
    rest = matrix[~missing]
    expected[missing] = rest.mean(axis=0) if fill == "mean" and len(rest) else 0
    fill_missing(matrix, missing, fill)
    np.testing.assert_allclose(matrix, expected, atol=1e-6)


def test_rows_that_are_not_finite_become_missing() -> None:
    class Broken(LengthEncoder):
        def encode_batch(self, inputs: Sequence[Any]) -> Encoded:
            return Encoded(np.array([[np.nan], [1.0]], dtype=np.float32), {})

    encoded = Broken().encode(["a", "b"])
    assert encoded.matrix.tolist() == [[0], [1]]
    assert list(encoded.problems) == [0]


def test_own_matrices_can_be_stored_and_bad_records_are_told(tmp_path: Path) -> None:
    record = FeatureRecord(
        modality="smell", encoder={"encoder": "nose"}, source={}, inputs_hash="a", ids_hash="b", fill="zeros"
    )
    written = write_features(tmp_path, np.eye(3), record)
    assert (written.items, written.width) == (3, 3)
    assert read_features_record(tmp_path / "smell.npy", verify=True) == written
    assert np.load(tmp_path / "smell.npy").dtype == np.float32
    assert read_features_record(tmp_path / "none.npy") is None
    np.save(tmp_path / "smell.npy", np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"smell.npy: is not the matrix that smell.json describes"):
        read_features_record(tmp_path / "smell.npy", verify=True)
    for text, message in [
        ("{", r"smell.json: can't be read as JSON"),
        ("[1]", r"smell.json: expected settings, each a key with its value, got \[1\]"),
        (written.model_copy(update={"missing_rows": (9,)}).model_dump_json(), r"names a row beyond its 3"),
    ]:
        (tmp_path / "smell.json").write_text(text)
        with pytest.raises(InputError, match=message):
            read_features_record(tmp_path / "smell.npy")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "expected exactly one of"),
        ({"fields": ["title"], "folder": "x"}, "expected exactly one of"),
        ({"fields": []}, "no text field is named"),
        ({"fields": ["titel"]}, "no field 'titel' .*did you mean 'title'"),
        ({"folder": "x"}, "encoder 'tfidf' encodes texts; expected these and not files"),
    ],
)
def test_bad_calls(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        encode_items(records(), None, "tfidf", tmp_path / "out", **given)
    with pytest.raises(InputError, match="neither item records nor item ids"):
        encode_items(None, None, "tfidf", tmp_path / "out", fields=["t"])
    with pytest.raises(InputError, match="none of the 2 items could be encoded; the first, 'a': no text"):
        encode_items(records(), ["a", "b"], LengthEncoder(), tmp_path / "out", fields=["title"])
    assert not (tmp_path / "out").exists() or os.listdir(tmp_path / "out") == []


def test_tags_of_real_artists(shared_data: Path) -> None:
    from kg_builders.sources import read_lastfm

    artists = read_lastfm(shared_data / "lfm2k")
    frame = artists.frame.filter(pl.col("tags").list.len() >= 3).head(1500)
    half = frame.with_columns(
        first=pl.col("tags").list.head(pl.col("tags").list.len() // 2),
        rest=pl.col("tags").list.slice(pl.col("tags").list.len() // 2),
    )
    texts = half["first"].list.join(", ").to_list()
    encoded = create_encoder("tfidf").encode(texts)
    unit, usable = unit_rows(encoded.matrix, True, encoded.missing)
    row, neighbour, _ = nearest_neighbours(unit, usable, 5)
    # The tags that were not encoded agree more often between neighbours than between any two.
    rest = [set(tags) for tags in half["rest"].to_list()]
    near = np.mean([bool(rest[a] & rest[b]) for a, b in zip(row, neighbour, strict=True)])
    rng = np.random.default_rng(0)
    any_two = rng.integers(0, len(rest), (20_000, 2))
    chance = np.mean([bool(rest[a] & rest[b]) for a, b in any_two if a != b])
    assert near > 1.5 * chance
