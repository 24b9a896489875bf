"""Feature files: what is read, and what is refused with the item row that is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from kdiffe_dgl.data.features import load_features
from kdiffe_dgl.data.text import text_features
from kdiffe_dgl.errors import InputError


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i8", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_any_width_become_float32(tmp_path, dtype, order):
    values = np.arange(12).reshape(4, 3)
    np.save(tmp_path / "f.npy", np.asarray(values.astype(dtype), order=order))
    loaded = load_features(tmp_path / "f.npy", 4)
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, values)


def _with(value, dtype="f4"):
    matrix = np.ones((6, 2), dtype=dtype)
    matrix[4, 1] = value
    return matrix


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (_with(np.nan), "item row 4 holds NaN or infinite"),
        (_with(-np.inf), "item row 4 holds NaN or infinite"),
        (_with(1e300, "f8"), "item row 4 holds values beyond the range"),
        (np.ones((5, 2)), "5 rows; expected 6"),
        (np.ones(6), "1 dimensions"),
        (np.ones((6, 0)), "rows without values"),
        (np.array([["a", "b"]] * 6), "values of type <U1; expected numbers"),
        (np.ones((6, 2), dtype=complex), "expected numbers"),
        (np.ones((6, 2), dtype=bool), "expected numbers"),
        (np.array([[{}, 1]] * 6, dtype=object), "pickled Python objects"),
    ],
)
def test_what_is_refused(tmp_path, matrix, message):
    np.save(tmp_path / "f.npy", matrix, allow_pickle=True)
    with pytest.raises(InputError, match=message) as caught:
        load_features(tmp_path / "f.npy", 6)
    assert "f.npy" in str(caught.value)


@pytest.mark.parametrize("keep", [0, 4, 60, 128, 150])
def test_truncated_files(tmp_path, keep):
    path = tmp_path / "f.npy"
    np.save(path, np.ones((6, 2), dtype=np.float32))
    content = path.read_bytes()
    assert len(content) > 150
    path.write_bytes(content[:keep])
    with pytest.raises(InputError, match=r"f\.npy: (truncated|empty file)"):
        load_features(path, 6)


def test_other_files(tmp_path):
    with pytest.raises(InputError, match="missing file"):
        load_features(tmp_path / "f.npy", 6)
    (tmp_path / "f.npy").write_text("1,2\n3,4\n" * 20)
    with pytest.raises(InputError, match=r"not a \.npy file"):
        load_features(tmp_path / "f.npy", 6)


def test_texts_with_the_same_words_are_near():
    texts = ["red fox runs", "red fox jumps", "blue whale swims", "blue whale dives", "green"] * 3
    vectors = text_features(texts, width=2)
    assert vectors.shape == (15, 2)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors[:4], axis=1), 1, atol=1e-5)
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.95
    assert similarity[2, 3] > 0.95
    assert abs(similarity[0, 2]) < 0.2
    np.testing.assert_array_equal(vectors, text_features(texts, width=2))


def test_texts_without_a_common_word_say_nothing():
    assert not text_features(["one", "two", "three"]).any()
