"""Readers: small files in the published layouts, and the published files themselves."""

from __future__ import annotations

import gzip
import json
import pickle

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from kdiffe_dgl.data.imports import TableOptions, import_dataset
from kdiffe_dgl.data.knowledge import KnowledgeOptions
from kdiffe_dgl.data.readers.assemble import ImportOptions, read_labels
from kdiffe_dgl.data.readers.diffmm import read_diffmm
from kdiffe_dgl.data.readers.mmrec import read_mmrec
from kdiffe_dgl.data.readers.recbole import read_recbole
from kdiffe_dgl.data.readers.tabular import read_tabular
from kdiffe_dgl.errors import InputError

# ---------------------------------------------------------------- KDiffE / DiffMM / DiffKG


def _write_diffmm(folder, train, validation, test, shape):
    folder.mkdir()
    for name, pairs in (("trnMat", train), ("valMat", validation), ("tstMat", test)):
        if pairs is None:
            continue
        row, column = np.array(pairs, dtype=np.int32).reshape(-1, 2).T
        matrix = sparse.coo_matrix((np.ones(len(row)), (row, column)), shape=shape)
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(matrix))
    return folder


def test_diffmm(tmp_path):
    folder = _write_diffmm(tmp_path / "toy", [(0, 1), (0, 1), (2, 0)], [(0, 2)], [(1, 1)], (3, 4))
    np.save(folder / "image_feat.npy", np.ones((4, 2), dtype=np.float16))
    (folder / "kg.txt").write_text("0 1 1\n")
    dataset = read_diffmm(folder)
    assert dataset.name == "toy"
    assert (dataset.n_users, dataset.n_items) == (3, 4)
    assert dataset.pairs("train").tolist() == [[0, 1], [2, 0]]
    assert dataset.pairs("validation").tolist() == [[0, 2]]
    assert dataset.pairs("test").tolist() == [[1, 1]]
    assert dataset.provenance["duplicates_merged"] == 1
    assert dataset.features["image"].dtype == np.float32
    assert dataset.kg is None
    assert dataset.items["id"].to_list() == ["0", "1", "2", "3"]


def test_diffmm_zeros_are_no_interactions_and_validation_may_be_missing(tmp_path):
    folder = _write_diffmm(tmp_path / "toy", [(0, 0)], None, [(1, 1)], (2, 2))
    matrix = sparse.csr_matrix(([1.0, 0.0], ([0, 1], [0, 0])), shape=(2, 2))
    (folder / "trnMat.pkl").write_bytes(pickle.dumps(matrix))
    dataset = read_diffmm(folder)
    assert dataset.pairs("train").tolist() == [[0, 0]]
    assert len(dataset.pairs("validation")) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "tstMat.pkl").unlink(), "tstMat.pkl: missing file"),
        (
            lambda f: (f / "tstMat.pkl").write_bytes(pickle.dumps(sparse.coo_matrix((3, 9)))),
            r"tstMat.pkl: shape \[3, 9\]; expected \[3, 4\]",
        ),
        (
            lambda f: (f / "tstMat.pkl").write_bytes((f / "trnMat.pkl").read_bytes()),
            "splits overlap in 2 pairs: user '0' and item '1' are in test and train",
        ),
        (lambda f: np.save(f / "audio_feat.npy", np.ones((3, 2))), "audio_feat.npy: 3 rows; expected 4"),
    ],
)
def test_diffmm_refuses(tmp_path, change, message):
    folder = _write_diffmm(tmp_path / "toy", [(0, 1), (2, 0)], [(0, 2)], [(1, 1)], (3, 4))
    change(folder)
    with pytest.raises(InputError, match=message):
        read_diffmm(folder)


def test_published_tiktok(shared_data):
    dataset = read_diffmm(shared_data / "tiktok")
    assert (dataset.n_users, dataset.n_items) == (9308, 6710)
    assert [len(dataset.pairs(split)) for split in ("train", "validation", "test")] == [59541, 3051, 6130]
    assert {name: matrix.shape for name, matrix in dataset.features.items()} == {
        "audio": (6710, 128),
        "image": (6710, 128),
    }
    raw = np.load(shared_data / "tiktok" / "image_feat.npy")
    np.testing.assert_array_equal(dataset.features["image"], raw.astype(np.float32))


# ------------------------------------------------------------------------------------ MMRec

INTER = "userID\titemID\trating\tx_label\n0\t0\t5\t0\n0\t1\t3\t1\n1\t2\t4\t0\n1\t0\t1\t2\n"
ORIGINAL = "userID\titemID\trating\tx_label\n7\tb\t5\t0\n7\ta\t3\t1\n3\tc\t4\t0\n3\tb\t1\t2\n"


def _write_mmrec(folder, inter=INTER, original=ORIGINAL):
    folder.mkdir()
    (folder / "toy.inter").write_text(inter)
    if original is not None:
        (folder / "toy_og_ids.inter").write_text(original)
    np.save(folder / "text_feat.npy", np.eye(3))
    return folder


def test_mmrec(tmp_path):
    folder = _write_mmrec(tmp_path / "m")
    (tmp_path / "names.csv").write_text('id,name\na,"Alpha, the first"\nb,Beta\nz,Zeta\n')
    dataset = read_mmrec(folder, labels=read_labels(tmp_path / "names.csv"))
    assert dataset.name == "toy"
    assert dataset.users["id"].to_list() == ["7", "3"]
    assert dataset.items["id"].to_list() == ["b", "a", "c"]
    assert dataset.items["label"].to_list() == ["Beta", "Alpha, the first", "c"]
    assert dataset.pairs("train").tolist() == [[0, 0], [1, 2]]
    assert dataset.pairs("validation").tolist() == [[0, 1]]
    assert dataset.pairs("test").tolist() == [[1, 0]]
    assert dataset.interactions["rating"].to_list() == [5, 3, 1, 4]
    assert list(dataset.features) == ["text"]


def test_mmrec_without_original_ids_and_with_mapping_files(tmp_path):
    folder = _write_mmrec(tmp_path / "m", original=None)
    assert read_mmrec(folder).items["id"].to_list() == ["0", "1", "2"]
    (folder / "i_id_mapping.csv").write_text("asin\titemID\nB03\t2\nB01\t0\nB02\t1\n")
    dataset = read_mmrec(folder)
    assert dataset.items["id"].to_list() == ["B01", "B02", "B03"]
    assert dataset.users["id"].to_list() == ["0", "1"]


@pytest.mark.parametrize(
    ("inter", "original", "message"),
    [
        (INTER.replace("1\t2\t4", "1\tx\t4"), None, "line 4: itemID is 'x'; expected a whole number from 0"),
        (
            INTER.replace("1\t2\t4", "-1\t2\t4"),
            None,
            "line 4: userID is '-1'; expected a whole number from 0",
        ),
        (INTER.replace("1\t2\t4", "1.5\t2\t4"), None, "line 4: userID is '1.5'"),
        (INTER.replace("4\t0\n", "4\t7\n"), None, "line 4: x_label is 7; expected 0, 1 or 2"),
        (INTER.replace("\t5\t", "\tfive\t"), None, "line 2: rating is 'five'; expected a number"),
        (INTER.replace("itemID", "item"), None, "no column 'itemID'"),
        (INTER.replace("\t", ","), None, "comma would split it into 4, but tab is the delimiter"),
        (INTER + "1\t1\n", None, "line 6: has 2 values separated by tab, expected 4"),
        (INTER + "0\t0\t5\t2\n", None, "splits overlap in 1 pairs"),
        ("userID\titemID\trating\tx_label\n", None, "has a header but no rows"),
        ("", None, "empty"),
        (INTER, "\n".join(ORIGINAL.splitlines()[:-1]) + "\n", "3 rows; expected 4"),
        (
            INTER,
            ORIGINAL.replace("3\tb", "3\ta"),
            "line 5: itemID 'a' and number 0 are paired otherwise before",
        ),
    ],
)
def test_mmrec_refuses(tmp_path, inter, original, message):
    folder = _write_mmrec(tmp_path / "m", inter, original)
    with pytest.raises(InputError, match=message):
        read_mmrec(folder)


def test_mmrec_needs_one_inter_file(tmp_path):
    folder = _write_mmrec(tmp_path / "m")
    (folder / "other.inter").write_text(INTER)
    with pytest.raises(InputError, match=r"2 \.inter files; expected one"):
        read_mmrec(folder)
    with pytest.raises(InputError, match="missing folder"):
        read_mmrec(tmp_path / "nowhere")


def test_published_lfm2k(shared_data):
    folder = shared_data / "lfm2k"
    dataset = import_dataset(
        folder,
        "mmrec",
        features={"text": folder / "all-MiniLM-L6-v2.npy", "audio": folder / "vggish.npy"},
        item_labels=folder / "artists.dat",
    )
    assert (dataset.n_users, dataset.n_items) == (1858, 1425)
    assert [len(dataset.pairs(split)) for split in ("train", "validation", "test")] == [44327, 4799, 7219]
    assert dataset.provenance["duplicates_merged"] == 0
    assert dataset.items["label"][0] == "Groove Armada"
    # The two .inter files are read here once more, row by row, by other means.
    rows, originals = (
        [line.split("\t") for line in (folder / name).read_text().splitlines()[1:]]
        for name in ("lfm2k.inter", "lfm2k_og_ids.inter")
    )
    pairs = list(zip(rows, originals, strict=True))
    users, items = dataset.users["id"].to_list(), dataset.items["id"].to_list()
    assert all(users[int(a[0])] == b[0] and items[int(a[1])] == b[1] for a, b in pairs)


# ---------------------------------------------------------------------------------- RecBole


def _write_recbole(folder, **files):
    folder.mkdir()
    defaults = {
        "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "u2\t10\t4\t100\nu1\t9\t5\t300\nu1\t10\t2\t200\nu2\t9\t1\t50\nu1\t10\t5\t250\n",
        "item": "item_id:token\ttitle:token_seq\tyear:token\n"
        "9\tThe Nine\t1999\n10\tTen\t2010\n11\tCold One\t\n",
    }
    for suffix, content in (defaults | files).items():
        if content is not None:
            (folder / f"toy.{suffix}").write_text(content)
    return folder


def test_recbole(tmp_path):
    dataset = read_recbole(_write_recbole(tmp_path / "r"), item_label="{title} ({year})")
    assert dataset.users["id"].to_list() == ["u1", "u2"]
    assert dataset.items["id"].to_list() == ["9", "10", "11"]
    assert dataset.items["label"].to_list() == ["The Nine (1999)", "Ten (2010)", "11"]
    assert dataset.provenance["duplicates_merged"] == 1
    assert dataset.interactions.select("user", "item", "rating", "timestamp").rows() == [
        (0, 0, 5, 300),
        (0, 1, 5, 250),
        (1, 0, 1, 50),
        (1, 1, 4, 100),
    ]
    assert set(dataset.interactions["split"]) == {"train"}


def test_recbole_default_label_threshold_and_leave_one_out(tmp_path):
    folder = _write_recbole(tmp_path / "r")
    dataset = read_recbole(folder / "toy.inter", options=ImportOptions(min_rating=4))
    assert dataset.items["label"].to_list() == ["The Nine", "Ten", "Cold One"]
    assert dataset.provenance["rows_below_min_rating"] == 2
    # The rating of 2 falls away before duplicates are looked for.
    assert dataset.provenance["duplicates_merged"] == 0
    assert len(dataset.interactions) == 3


def test_recbole_items_order_the_features_and_join_the_graph(tmp_path):
    folder = _write_recbole(
        tmp_path / "r",
        kg="head_id:token\trelation_id:token\ttail_id:token\nm1\tby\tp1\nm2\tby\tp1\n",
        link="item_id:token\tentity_id:token\n10\tm1\n77\tm2\n",
    )
    np.save(tmp_path / "f.npy", np.array([[0.0, 1.0], [0.0, 2.0], [5.0, 0.0]]))
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - {kind: decade, field: year, relation: decade}\n")
    dataset = import_dataset(
        folder,
        "recbole",
        features={"own": tmp_path / "f.npy"},
        knowledge=KnowledgeOptions(
            rules=str(rules),
            triples=folder / "toy.kg",
            links=folder / "toy.link",
            modalities={"neighbours": 1, "clusters": 2},
        ),
    )
    np.testing.assert_array_equal(dataset.features["own"], [[0, 1], [0, 2], [5, 0]])
    named = set(dataset.kg.to_named().select("head_id", "relation", "tail_kind", "tail_id").rows())
    assert ("10", "by", "external", "p1") in named
    assert ("9", "decade", "decade", "1990") in {(h, r, k, t[:4]) for h, r, k, t in named}
    assert {"own_neighbour", "in_own_cluster"} <= set(dataset.kg.relations["name"])
    assert dataset.kg.entities["id"][:3].to_list() == ["9", "10", "11"]
    assert dataset.provenance["knowledge"]["links"][0]["linked"] == 1


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        ({"inter": "user_id\titem_id\na\tb\n"}, {}, "no valid type"),
        ({"inter": "user:token\titem_id:token\na\tb\n"}, {}, "no column 'user_id'"),
        (
            {"inter": "user_id:token\titem_id:token\trating:float\na\tb\tx\n"},
            {},
            "line 2: rating is 'x', expected a number",
        ),
        ({"inter": "user_id:token\titem_id:token\n\tb\n"}, {}, "line 2: user_id is missing"),
        (
            {"item": "item_id:token\ttitle:token_seq\n9\ta\n9\tb\n"},
            {},
            "line 3: item_id '9' occurs a second time",
        ),
        ({}, {"item_label": "{name}"}, "no column 'name'"),
        ({}, {"item_label": "{name"}, "expected fields in braces"),
        ({}, {"options": ImportOptions(min_rating=9)}, "no interaction is left of 5 rows"),
    ],
)
def test_recbole_refuses(tmp_path, files, arguments, message):
    with pytest.raises(InputError, match=message):
        read_recbole(_write_recbole(tmp_path / "r", **files), **arguments)


# ------------------------------------------------------------------------------ plain tables


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_delimiters_are_found(tmp_path, delimiter):
    rows = [("user", "item", "stars"), ("b", "x y", "3"), ("a", "x y", "4"), ("b", "z", "5")]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(delimiter.join(row) for row in rows) + "\n")
    dataset = read_tabular(path, rating_column="stars")
    assert dataset.name == "log"
    assert dataset.users["id"].to_list() == ["a", "b"]
    assert dataset.items["id"].to_list() == ["x y", "z"]
    assert dataset.interactions["rating"].to_list() == [4, 3, 5]


def test_quotes_headerless_files_and_milliseconds(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text('u1,"a,b",1700000000123\nu1,c,1700000001999\n')
    dataset = read_tabular(
        path,
        columns=("who", "what", "when"),
        user_column="who",
        item_column="what",
        timestamp_column="when",
        time_unit="ms",
    )
    assert dataset.items["id"].to_list() == ["a,b", "c"]
    assert dataset.interactions["timestamp"].to_list() == [1700000000, 1700000001]


def test_parquet_with_dates_and_given_splits(tmp_path):
    frame = pl.DataFrame(
        {
            "user": [3, 1, 3],
            "item": [20, 20, 100],
            "at": pl.Series(["2020-01-01", "2020-01-02", "2020-01-03"]).str.to_date(),
            "part": ["train", "test", "validation"],
        }
    )
    frame.write_parquet(tmp_path / "log.parquet")
    dataset = read_tabular(tmp_path / "log.parquet", timestamp_column="at", split_column="part")
    assert dataset.users["id"].to_list() == ["1", "3"]
    assert dataset.items["id"].to_list() == ["20", "100"]
    assert dataset.interactions["split"].to_list() == ["test", "train", "validation"]
    assert dataset.interactions["timestamp"][1] == 1577836800
    assert dataset.provenance["split"] == {"strategy": "given"}


def test_ids_meet_without_spaces_and_labels_without_markup(tmp_path):
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    log.write_text("user,item\nu1,A1\n u1 ,A2 \nu2,A1\n")
    items.write_text("id,label\nA2 ,Tom &amp; <b>Jerry</b>\nA1,\u00b5-Ziq  live\n", encoding="utf-8")
    dataset = import_dataset(log, "table", item_labels=items)
    assert dataset.users["id"].to_list() == ["u1", "u2"]
    assert dataset.items["id"].to_list() == ["A2", "A1"]
    # A label without markup stays as it is: cleaning would write another letter for the micro sign.
    assert dataset.items["label"].to_list() == ["Tom & Jerry", "\u00b5-Ziq  live"]
    log.write_text("user,item\n  ,A1\n")
    with pytest.raises(InputError, match=r"log.csv, line 2: user is '  '; expected a value"):
        import_dataset(log, "table")


def test_tables_of_other_encodings(tmp_path):
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    log.write_bytes("Käufer;Ware\nJörg;a\nAnn;b\n".encode("cp1252"))
    items.write_bytes("id;Name\na;Größe 1 – nur 5 €\nb;plain\n".encode("cp1252"))
    table = TableOptions(user_column="Käufer", item_column="Ware", encoding="cp1252")
    dataset = import_dataset(log, "table", item_labels=items, table=table)
    assert dataset.users["id"].to_list() == ["Ann", "Jörg"]
    assert dataset.items["label"].to_list() == ["Größe 1 – nur 5 €", "plain"]
    for encoding, told in (
        ("utf-8", "isn't UTF-8"),
        ("utf-16", "'utf-16' isn't read"),
        ("utf-7x", "unknown"),
    ):
        with pytest.raises(InputError, match=told):
            import_dataset(log, "table", table=TableOptions(encoding=encoding))


def test_rows_without_a_rating_are_told_apart(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("user,item,stars\nu1,a,5\nu1,b,\nu1,c,1\nu2,a,4\nu2,b,\n")
    dataset = read_tabular(log, rating_column="stars", options=ImportOptions(min_rating=4))
    assert (
        dataset.provenance["rows_below_min_rating"],
        dataset.provenance["rows_without_rating"],
        len(dataset.interactions),
    ) == (1, 2, 2)
    with pytest.raises(InputError, match="column 'user' can't name users and items both"):
        read_tabular(log, item_column="user")


def test_a_catalogue_orders_items_and_features(tmp_path):
    (tmp_path / "log.csv").write_text("user,item\nu,b\nu,a\n")
    (tmp_path / "items.csv").write_text("key,title\nc,See\nb,Bee\na,Ay\n")
    np.save(tmp_path / "f.npy", np.array([[3.0], [2.0], [1.0]]))
    dataset = import_dataset(
        tmp_path / "log.csv",
        "table",
        features={"size": tmp_path / "f.npy"},
        item_labels=tmp_path / "items.csv",
        table=TableOptions(),
    )
    assert dataset.items.select("id", "label").rows() == [("c", "See"), ("b", "Bee"), ("a", "Ay")]
    assert dataset.features["size"].ravel().tolist() == [3, 2, 1]
    assert dataset.pairs("train").tolist() == [[0, 1], [0, 2]]
    with pytest.raises(InputError, match="features need a list of the items"):
        import_dataset(tmp_path / "log.csv", "table", features={"size": tmp_path / "f.npy"})


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("user item\na b\n", {}, "wrong delimiter, 'user item' has none of comma, tab"),
        ("user,item\na,b\n", {"delimiter": "\t"}, "tab"),
        ("user,item\na,b\n", {"delimiter": "x"}, "delimiter 'x' is not supported"),
        ("user,item\na,b\n", {"user_column": "usr"}, "no column 'usr'; did you mean 'user'"),
        ("user,item\na,b\n", {"rating_column": "stars"}, "no column 'stars'"),
        ("user,item,r\na,b,1\na,c,high\n", {"rating_column": "r"}, "line 3: r is 'high'; expected a number"),
        ("user,item,r\na,b,nan\n", {"rating_column": "r"}, "line 2: r is 'nan'; expected a number"),
        ("user,item,t\na,b,now\n", {"timestamp_column": "t"}, "line 2: t is 'now'"),
        (
            "user,item,s\na,b,dev\n",
            {"split_column": "s"},
            "line 2: s is 'dev'; expected train, validation, test",
        ),
        ("user,item\na,b\n", {"time_unit": "h"}, "time unit 'h' is unknown"),
        ("user,item\na,b\n,c\n", {}, "line 3: user is missing; expected a value"),
        ("user,item,item\na,b,c\n", {}, "'item' occurs twice"),
        ("user,item\n", {}, "header but no rows"),
        ("", {}, "empty file"),
        ("user,item\na,b\n", {"options": ImportOptions(min_rating=3)}, "no rating column to compare"),
    ],
)
def test_tables_refuse(tmp_path, content, arguments, message):
    path = tmp_path / "log.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_tabular(path, **arguments)


def test_a_compressed_table_is_read_as_it_is(tmp_path):
    content = b"user,item\na,b\na,c\nb,c\n"
    (tmp_path / "log.csv").write_bytes(content)
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(content))
    plain, packed = (read_tabular(tmp_path / name) for name in ("log.csv", "log.csv.gz"))
    assert packed.interactions.equals(plain.interactions)


def test_other_files_are_no_tables(tmp_path):
    with pytest.raises(InputError, match="missing file"):
        read_tabular(tmp_path / "log.csv")
    (tmp_path / "log.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    with pytest.raises(InputError, match=r"log\.csv, line 1: wrong delimiter"):
        read_tabular(tmp_path / "log.csv")
    (tmp_path / "log.csv").write_bytes(gzip.compress(b"user,item\na,b\n" * 500)[:-9])
    with pytest.raises(InputError, match=r"log\.csv"):
        read_tabular(tmp_path / "log.csv")
    pl.DataFrame({"user": ["a"] * 500, "item": [str(i) for i in range(500)]}).write_parquet(
        tmp_path / "log.parquet"
    )
    content = (tmp_path / "log.parquet").read_bytes()
    (tmp_path / "log.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="truncated or not a Parquet file"):
        read_tabular(tmp_path / "log.parquet")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 5), st.integers(0, 3)), min_size=1
    ),
    least=st.integers(0, 5),
)
def test_threshold_and_merging_agree_with_a_loop(tmp_path_factory, rows, least):
    path = tmp_path_factory.mktemp("t") / "log.csv"
    path.write_text("user,item,r,t\n" + "".join(f"{u},{i},{r},{t}\n" for u, i, r, t in rows))
    latest: dict[tuple[int, int], tuple[int, int]] = {}
    for user, item, rating, time in rows:
        if rating >= least and ((user, item) not in latest or time > latest[user, item][1]):
            latest[user, item] = (rating, time)
    options = ImportOptions(min_rating=least)
    if not latest:
        with pytest.raises(InputError, match="no interaction is left"):
            read_tabular(path, rating_column="r", timestamp_column="t", options=options)
        return
    dataset = read_tabular(path, rating_column="r", timestamp_column="t", options=options)
    users, items = dataset.users["id"].to_list(), dataset.items["id"].to_list()
    found = {
        (int(users[user]), int(items[item])): (int(rating), time)
        for user, item, rating, time in dataset.interactions.select(
            "user", "item", "rating", "timestamp"
        ).rows()
    }
    assert found == latest
    kept = sum(rating >= least for _, _, rating, _ in rows)
    assert dataset.provenance["rows_below_min_rating"] == len(rows) - kept
    assert dataset.provenance["duplicates_merged"] == kept - len(latest)
    json.dumps(dataset.provenance)
