"""Published pickles: matrices of every layout are read, and nothing foreign ever runs."""

from __future__ import annotations

import contextlib
import io
import os
import pickle

import numpy as np
import pytest
from scipy import sparse

from kdiffe_dgl.data.readers.pickles import load_sparse_pickle
from kdiffe_dgl.errors import InputError


def _example(seed=0):
    rng = np.random.default_rng(seed)
    dense = rng.random((7, 5)) * (rng.random((7, 5)) < 0.4)
    dense[0, 0] = 2.0
    return dense


@pytest.mark.parametrize("layout", ["coo", "csr", "csc"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_layouts_and_protocols(tmp_path, layout, kind, protocol):
    dense = _example()
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(getattr(sparse, f"{layout}_{kind}")(dense), protocol))
    loaded = load_sparse_pickle(path)
    assert isinstance(loaded, sparse.coo_matrix)
    np.testing.assert_array_equal(loaded.toarray(), dense)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"scipy.sparse._coo", b"scipy.sparse.coo"),
        (b"numpy._core.multiarray", b"numpy.core.multiarray"),
    ],
)
def test_module_paths_of_older_and_newer_versions(tmp_path, old, new):
    dense = _example()
    # Protocol 2 spells module names out as lines, so that they can be exchanged.
    content = pickle.dumps(sparse.coo_matrix(dense), 2)
    content = content if old in content else content.replace(new, old)
    path = tmp_path / "m.pkl"
    for spelled in (content, content.replace(old, new)):
        path.write_bytes(spelled)
        np.testing.assert_array_equal(load_sparse_pickle(path).toarray(), dense)
    assert content != content.replace(old, new)


def test_duplicates_and_zeros_are_kept_as_they_are(tmp_path):
    matrix = sparse.coo_matrix(([1.0, 1.0, 0.0], ([0, 0, 1], [2, 2, 1])), shape=(2, 3))
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(matrix))
    assert load_sparse_pickle(path).nnz == 3


class _Touch:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def _handmade(name, state):
    """Pickle an empty matrix of a class and then its state, as the standard writer does for a real one."""
    stream = io.BytesIO()
    stream.write(f"\x80\x02cscipy.sparse._{name[:3]}\n{name}\n)\x81".encode("latin-1"))
    writer = pickle._Pickler(stream, 2)
    writer.save(state)
    stream.write(b"b.")
    return stream.getvalue()


def _malicious(tmp_path):
    call = _Touch(f"touch '{tmp_path / 'owned'}'")
    wraps = {"alone": call, "list": [call], "dictionary": {"a": (call,)}}
    cases = {
        f"{name}, protocol {protocol}": pickle.dumps(value, protocol)
        for name, value in wraps.items()
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    }
    return cases | {"in the state of a matrix": _handmade("coo_matrix", {"_shape": (1, 1), "row": call})}


@pytest.mark.parametrize("number", range(3 * (pickle.HIGHEST_PROTOCOL + 1) + 1))
def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path, number):
    content = list(_malicious(tmp_path).values())[number]
    path = tmp_path / "m.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_sparse_pickle(path)
    assert not (tmp_path / "owned").exists()
    assert "system, so it is refused and nothing in it was run" in str(caught.value)
    assert str(path) in str(caught.value)
    # The same bytes do run with the standard reader, so this test would see it.
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        pickle.loads(content)
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "global_name",
    [
        b"builtins\neval",
        b"builtins\ngetattr",
        b"numpy\nload",
        b"numpy.f2py.diagnose\nrun",
        b"scipy.sparse\nload_npz",
        b"numpy\nndarray.tofile",
        b"kdiffe_dgl.data.readers.pickles\nload_sparse_pickle",
    ],
)
def test_other_names_are_refused_even_when_only_mentioned(tmp_path, global_name):
    path = tmp_path / "m.pkl"
    path.write_bytes(b"c" + global_name + b"\n.")
    with pytest.raises(InputError, match="the pickle names"):
        load_sparse_pickle(path)


def _state(**changes):
    state = {
        "_shape": (2, 2),
        "row": np.array([0, 1], dtype=np.int32),
        "col": np.array([1, 0], dtype=np.int32),
        "data": np.ones(2),
    }
    return state | changes


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("coo_matrix", {"row": np.array([0, 5])}, "row 5 is outside the matrix"),
        ("coo_matrix", {"col": np.array([0, -1])}, "column -1 is outside"),
        ("coo_matrix", {"row": np.array([0])}, "1 rows but 2 values"),
        ("coo_matrix", {"row": np.array([0.0, 1.0])}, "no numeric array 'row'"),
        ("coo_matrix", {"row": [0, 1]}, "no numeric array 'row'"),
        ("coo_matrix", {"data": np.array([None, 1], dtype=object)}, "no numeric array 'data'"),
        ("coo_matrix", {"_shape": (2,)}, "no shape"),
        (
            "csr_matrix",
            {"indices": np.array([0, 1]), "indptr": np.array([0, 2])},
            "inconsistent row pointers",
        ),
        ("csr_matrix", {"indices": np.array([0, 1]), "indptr": np.array([0, 3, 2])}, "inconsistent"),
        ("csr_matrix", {"indices": np.array([0, 9]), "indptr": np.array([0, 1, 2])}, "column 9 is outside"),
    ],
)
def test_inconsistent_matrices_are_refused(tmp_path, name, changes, message):
    path = tmp_path / "m.pkl"
    path.write_bytes(_handmade(name, _state(**changes)))
    with pytest.raises(InputError, match=message):
        load_sparse_pickle(path)


def test_the_handmade_pickle_is_read_when_it_is_consistent(tmp_path):
    path = tmp_path / "m.pkl"
    path.write_bytes(_handmade("coo_matrix", _state()))
    np.testing.assert_array_equal(load_sparse_pickle(path).toarray(), [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(sparse.csr_matrix(_example()))[:-30], "not a complete pickle"),
        (pickle.dumps(np.arange(3)), "holds no SciPy sparse matrix"),
        (pickle.dumps({"a": 1}), "holds no SciPy sparse matrix"),
        (b"not a pickle", "not a complete pickle"),
        (b"", "empty file"),
    ],
)
def test_damaged_or_other_files(tmp_path, content, message):
    path = tmp_path / "m.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_sparse_pickle(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="missing file"):
        load_sparse_pickle(tmp_path / "m.pkl")


def test_published_matrices(shared_data):
    trained = load_sparse_pickle(shared_data / "tiktok" / "trnMat.pkl")
    assert trained.shape == (9308, 6710)
    assert trained.nnz == 59541
    assert (trained.data == 1).all()
    similarity = load_sparse_pickle(shared_data / "tiktok" / "Similarity_130_6.pkl")
    assert similarity.shape == (9308 + 6710,) * 2
