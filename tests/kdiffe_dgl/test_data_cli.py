"""``kdiffe data``: what it writes, and bad input: one sentence, exit status 2, nothing half-written."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from scipy import sparse

from kdiffe_dgl.cli import main
from kdiffe_dgl.data import RecDataset

INTER = "userID\titemID\trating\tx_label\n0\t0\t5\t0\n0\t1\t3\t1\n1\t2\t4\t0\n1\t0\t1\t2\n"


def _run(*arguments):
    result = CliRunner().invoke(main, ["data", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def _refused(tmp_path, *arguments):
    """Run a command that must fail; return its sentence."""
    before = sorted(tmp_path.iterdir())
    result = _run(*arguments)
    assert result.exit_code == 2, result.output
    assert sorted(tmp_path.iterdir()) == before
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert "Traceback" not in result.output
    return lines[0]


def _mmrec(tmp_path, inter=INTER, **features):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "toy.inter").write_text(inter)
    for name, matrix in features.items():
        np.save(folder / f"{name}.npy", matrix, allow_pickle=True)
    return folder


def _import(tmp_path, source, layout="mmrec", *more):
    return ("import", source, "--format", layout, "--out", tmp_path / "out", *more)


def _table(tmp_path, content):
    (tmp_path / "log.csv").write_text(content)
    return tmp_path / "log.csv"


# ---------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("inter", "expected"),
    [
        (INTER.replace("itemID", "item"), "toy.inter: no column 'itemID'"),
        (INTER.replace("\t", ","), "comma would split it into 4, but tab is the delimiter"),
        ("", "toy.inter: empty file"),
        (
            INTER.replace("1\t2\t4", "one\t2\t4"),
            "toy.inter, line 4: userID is 'one'; expected a whole number",
        ),
        (INTER.replace("1\t2\t4", "1\t-2\t4"), "toy.inter, line 4: itemID is '-2'; expected a whole number"),
        (INTER + "0\t0\t5\t2\n", "splits overlap in 1 pairs: user '0' and item '0' are in test and train"),
    ],
    ids=["missing column", "wrong delimiter", "empty file", "non-numeric id", "negative id", "overlap"],
)
def test_bad_interactions(tmp_path, inter, expected):
    source = _mmrec(tmp_path, inter)
    assert expected in _refused(tmp_path, *_import(tmp_path, source))


def test_missing_files(tmp_path):
    assert "nowhere: missing folder" in _refused(tmp_path, *_import(tmp_path, tmp_path / "nowhere"))
    sentence = _refused(tmp_path, *_import(tmp_path, tmp_path / "no.csv", "table"))
    assert "no.csv: missing file" in sentence
    source = _mmrec(tmp_path)
    sentence = _refused(
        tmp_path, *_import(tmp_path, source, "mmrec", "--features", f"a={tmp_path / 'a.npy'}")
    )
    assert "a.npy: missing file" in sentence
    for option in ("--item-labels", "--kg-recipe"):
        assert "no.csv" in _refused(
            tmp_path, *_import(tmp_path, source, "mmrec", option, tmp_path / "no.csv")
        )
    assert "dataset.json is missing" in _refused(tmp_path, "describe", tmp_path)


def _holed(value):
    matrix = np.ones((3, 2))
    matrix[2, 0] = value
    return matrix


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.ones((4, 2)), "image_feat.npy: 4 rows; expected 3, one for each item"),
        (_holed(np.nan), "image_feat.npy: item row 2 holds NaN or infinite values"),
        (_holed(np.inf), "image_feat.npy: item row 2 holds NaN or infinite values"),
        (np.array([["a"]] * 3), "image_feat.npy: values of type <U1; expected numbers"),
        (np.array([[None]] * 3), "image_feat.npy: holds pickled Python objects"),
    ],
    ids=["rows", "NaN", "infinite", "text", "objects"],
)
def test_bad_features(tmp_path, matrix, expected):
    source = _mmrec(tmp_path, image_feat=matrix)
    assert expected in _refused(tmp_path, *_import(tmp_path, source))


def test_truncated_files(tmp_path):
    source = _mmrec(tmp_path, image_feat=np.ones((3, 2)))
    content = (source / "image_feat.npy").read_bytes()
    (source / "image_feat.npy").write_bytes(content[:-8])
    assert "image_feat.npy: truncated" in _refused(tmp_path, *_import(tmp_path, source))
    pl.DataFrame({"user": [1, 2], "item": [3, 4]}).write_parquet(tmp_path / "log.parquet")
    content = (tmp_path / "log.parquet").read_bytes()
    (tmp_path / "log.parquet").write_bytes(content[:-12])
    sentence = _refused(tmp_path, *_import(tmp_path, tmp_path / "log.parquet", "table"))
    assert "log.parquet: truncated or not a Parquet file" in sentence


def test_damaged_data_sets(tmp_path, tiny_dataset):
    tiny_dataset.save(tmp_path / "d")
    table = tmp_path / "d" / "interactions.parquet"
    content = table.read_bytes()
    table.write_bytes(content[:-12])
    assert "interactions.parquet: content differs" in _refused(tmp_path, "describe", tmp_path / "d")
    table.write_bytes(content)
    features = tmp_path / "d" / "features" / "image.npy"
    whole = features.read_bytes()
    features.write_bytes(whole[:-4])
    assert "image.npy: is not a complete .npy file" in _refused(tmp_path, "describe", tmp_path / "d")
    features.write_bytes(whole[:-1] + b"\x00")
    assert _run("describe", tmp_path / "d").exit_code == 0
    assert "image.npy: content differs" in _refused(tmp_path, "describe", tmp_path / "d", "--verify")


def test_a_triple_with_an_unknown_relation(tmp_path, tiny_dataset):
    tiny_dataset.save(tmp_path / "d")
    file = tmp_path / "d" / "kg" / "triples.parquet"
    triples = pl.read_parquet(file)
    row = pl.int_range(pl.len()) == 4
    triples.with_columns(pl.when(row).then(9).otherwise("relation").alias("relation")).write_parquet(file)
    index = json.loads((tmp_path / "d" / "dataset.json").read_text())
    index["sha256"]["kg/triples.parquet"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (tmp_path / "d" / "dataset.json").write_text(json.dumps(index))
    sentence = _refused(tmp_path, "describe", tmp_path / "d")
    assert "triple 4 has unknown relation 9" in sentence


class _Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


def test_a_malicious_pickle_runs_nothing(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("trnMat", "valMat", "tstMat"):
        (source / f"{name}.pkl").write_bytes(pickle.dumps(sparse.coo_matrix((2, 2))))
    (source / "tstMat.pkl").write_bytes(pickle.dumps(_Touch(tmp_path / "owned")))
    sentence = _refused(tmp_path, *_import(tmp_path, source, "diffmm"))
    assert "tstMat.pkl: the pickle names" in sentence
    assert "nothing in it was run" in sentence
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--user-column", "uesr"), "no column 'uesr'; did you mean 'user'"),
        (("--delimiter", "x"), "delimiter 'x' is not supported"),
        (("--split", "time"), "have no timestamp"),
        (("--split", "given"), "have no split"),
        (("--ratios", "0:1:1"), "expected three shares"),
        (("--min-rating", "3"), "no rating column"),
        (("--features", "a=a.npy"), "features need a list of the items"),
        (("--kg-rules", "lfm2k"), "needs both rules and the metadata"),
        (("--kg-triples", "kg.txt"), "needs its triples and its id map"),
        (("--modality-kg",), "no features to relate items by"),
    ],
)
def test_options_that_do_not_fit(tmp_path, arguments, expected):
    source = _table(tmp_path, "user,item\na,x\nb,y\n")
    assert expected in _refused(tmp_path, *_import(tmp_path, source, "table", *arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ("import", "x"),
        ("import", "x", "--format", "csv", "--out", "o"),
        ("import", "x", "--format", "table", "--out", "o", "--features", "image"),
        ("split", "x", "--out", "o", "--ratios", "8:2"),
        ("synth", "--out", "o", "--seed", "one"),
        ("unknown",),
    ],
)
def test_usage_errors_end_with_status_2(arguments):
    result = _run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_an_existing_folder_is_not_replaced(tmp_path):
    source = _mmrec(tmp_path)
    assert _run(*_import(tmp_path, source)).exit_code == 0
    assert "already exists" in _refused(tmp_path, *_import(tmp_path, source))
    assert _run(*_import(tmp_path, source), "--overwrite").exit_code == 0
    sentence = _refused(tmp_path, "import", source, "--format", "mmrec", "--out", source, "--overwrite")
    assert "not a data set folder" in sentence
    assert "already exists" in _refused(tmp_path, "synth", "--out", tmp_path / "out")


def test_unknown_names_of_data_sets(tmp_path):
    sentence = _refused(tmp_path, "fetch", "ml100k", "--out", tmp_path / "out")
    assert "did you mean 'ml-100k'" in sentence


def test_from_a_shell(tmp_path):
    source = _mmrec(tmp_path, INTER.replace("1\t2\t4", "x\t2\t4"))
    result = subprocess.run(
        [sys.executable, "-m", "kdiffe_dgl", "data", *map(str, _import(tmp_path, source))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.strip() == (
        f"error: {source / 'toy.inter'}, line 4: userID is 'x'; expected a whole number from 0"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


# --------------------------------------------------------------------------- what is reported


def test_duplicates_are_counted_and_merged(tmp_path):
    source = _mmrec(tmp_path, INTER + "0\t0\t2\t0\n0\t0\t2\t0\n")
    result = _run(*_import(tmp_path, source))
    assert result.exit_code == 0
    assert "note: 2 duplicate interactions were merged" in result.stderr
    dataset = RecDataset.load(tmp_path / "out")
    assert len(dataset.interactions) == 4
    assert dataset.provenance["duplicates_merged"] == 2


def test_users_without_training_items_are_kept_and_reported(tmp_path):
    source = _mmrec(tmp_path, INTER.replace("1\t2\t4\t0", "1\t2\t4\t1"))
    result = _run(*_import(tmp_path, source))
    assert result.exit_code == 0
    assert "note: 1 users have no training interaction; they are kept" in result.stderr
    assert RecDataset.load(tmp_path / "out").n_users == 2
    facts = json.loads(_run("describe", tmp_path / "out", "--json").stdout)
    assert facts["users_without_training"] == 1
    assert facts["items_without_training"] == 2


# ----------------------------------------------------------------------------------- commands


def test_import_table_describe_split_and_list(tmp_path):
    rng = np.random.default_rng(0)
    pairs = sorted({(int(u), int(i)) for u, i in rng.integers(0, 20, (300, 2))})
    rows = "".join(f"p{u};q{i};{(u + i) % 5 + 1};{1000 * (u * 31 + i * 17)}\n" for u, i in pairs)
    source = _table(tmp_path, "who;what;stars;when\n" + rows)
    result = _run(
        *_import(tmp_path, source, "table", "--name", "shop", "--user-column", "who"),
        *("--item-column", "what", "--rating-column", "stars", "--timestamp-column", "when"),
        *("--time-unit", "ms", "--min-rating", "2", "--split", "leave_one_out"),
    )
    assert result.exit_code == 0, result.output
    facts = json.loads(_run("describe", tmp_path / "out", "--json", "--verify").stdout)
    kept = [(u, i) for u, i in pairs if (u + i) % 5 + 1 >= 2]
    assert facts["name"] == "shop"
    assert facts["interactions"] == len(kept)
    assert facts["splits"]["test"] == facts["splits"]["validation"] == len({u for u, _ in kept})
    assert facts["rating"] == {"least": 2.0, "most": 5.0}
    assert facts["kg"] is None

    split = ("split", tmp_path / "out", "--strategy", "time", "--ratios", "6:2:2")
    assert _run(*split, "--out", tmp_path / "by-time").exit_code == 0
    later = RecDataset.load(tmp_path / "by-time")
    assert later.provenance["split"] == {"strategy": "time", "ratios": [6.0, 2.0, 2.0]}
    times = later.interactions.group_by("split").agg(pl.col("timestamp").min().alias("first"))
    first = dict(times.iter_rows())
    assert first["train"] < first["validation"] < first["test"]
    assert len(later.interactions) == len(kept)

    listed = _run("list", tmp_path).stdout
    assert "out" in listed
    assert "by-time" in listed
    assert "ml-100k" in _run("list").stdout


def test_synth_keeps_its_truth_through_a_new_split(tmp_path):
    arguments = ("--users", "30", "--items", "40", "--interactions-per-user", "8", "--seed", "5")
    assert _run("synth", "--out", tmp_path / "a", *arguments).exit_code == 0
    assert _run("split", tmp_path / "a", "--out", tmp_path / "b", "--seed", "9").exit_code == 0
    before, after = (RecDataset.load(tmp_path / name) for name in "ab")
    assert before.fingerprint != after.fingerprint
    assert after.kg.triples.equals(before.kg.triples)
    for name in ("truth/truth.json", "truth/triples.parquet", "raw/items.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    RecDataset.verify(tmp_path / "b")


def test_the_planted_raw_files_import_to_the_same_data(tmp_path):
    """From the raw material through rules and readers, all the way back to the planted graph."""
    arguments = ("--users", "40", "--items", "30", "--interactions-per-user", "10")
    assert _run("synth", "--out", tmp_path / "a", *arguments).exit_code == 0
    raw = tmp_path / "a" / "raw"
    rules = tmp_path / "rules.yaml"
    names = ("genre", "maker", "warehouse", "courier")
    rules.write_text("rules:\n" + "".join(f"  - {{kind: list, field: {name}}}\n" for name in names))
    result = _run(
        *_import(tmp_path, raw / "interactions.csv", "table", "--split-column", "split"),
        *("--timestamp-column", "timestamp", "--kg-rules", rules, "--metadata", raw / "items.jsonl"),
    )
    assert result.exit_code == 0, result.output
    planted, imported = (RecDataset.load(tmp_path / name) for name in ("a", "out"))
    assert imported.users["id"].to_list() == planted.users["id"].to_list()
    columns = ("user_id", "item_id", "split")

    def named(dataset):
        return (
            dataset.interactions.join(dataset.users.select("user", user_id="id"), on="user")
            .join(dataset.items.select("item", item_id="id"), on="item")
            .select(columns)
            .sort(columns)
        )

    assert named(imported).equals(named(planted))
    keys = ("head_id", "relation", "tail_label")
    met = set(imported.items["id"])
    expected = {row for row in planted.kg.to_named().select(keys).iter_rows() if row[0] in met}
    assert set(imported.kg.to_named().select(keys).iter_rows()) == expected


@pytest.mark.parametrize("command", ["attach", "list", "fetch", "import", "describe", "split", "synth"])
def test_help_has_examples(command):
    result = _run(command, "--help")
    assert result.exit_code == 0
    assert f"Examples:\n    kdiffe data {command}" in result.stdout


def test_published_sets_through_the_command(tmp_path, shared_data):
    lastfm = shared_data / "lfm2k"
    result = _run(
        *_import(tmp_path, lastfm, "mmrec", "--features", "text=all-MiniLM-L6-v2.npy"),
        *("--features", "audio=vggish.npy", "--item-labels", lastfm / "artists.dat"),
        *("--kg-rules", "lfm2k", "--metadata", lastfm, "--metadata-format", "lastfm"),
        *("--kg-triples", lastfm / "kg.txt", "--kg-links", lastfm / "item_index2entity_id.txt"),
    )
    assert result.exit_code == 0, result.output
    facts = json.loads(_run("describe", tmp_path / "out", "--json").stdout)
    assert facts["splits"] == {"train": 44327, "validation": 4799, "test": 7219}
    assert {name: about["width"] for name, about in facts["features"].items()} == {"text": 384, "audio": 128}
    assert facts["kg"]["item_coverage"] > 0.99
    assert facts["kg"]["by_relation"][0]["name"] == "tag"
    dataset = RecDataset.load(tmp_path / "out")
    assert dataset.provenance["knowledge"]["links"][0]["linked"] == 397


def test_warnings_of_the_knowledge_graph_are_told_on_standard_error(tiny_dataset, capsys):
    from kdiffe_dgl.cli.data import knowledge_notes

    knowledge_notes(tiny_dataset)
    knowledge_notes(
        tiny_dataset.replace(provenance={"knowledge": {"warnings": ["ids of another catalogue"]}})
    )
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "note: ids of another catalogue\n"
