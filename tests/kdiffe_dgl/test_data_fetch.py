"""Fetching: hash-checked, cached, and one sentence where it can't be done."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile

import numpy as np
import pytest

from kdiffe_dgl.data import RecDataset, fetch
from kdiffe_dgl.data.catalog import CATALOG, catalog_entry
from kdiffe_dgl.data.knowledge import KnowledgeOptions, with_knowledge
from kdiffe_dgl.errors import InputError


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No package index, an empty folder of wheels, and an empty cache."""
    (tmp_path / "wheels").mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("KDIFFE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def _wheel(path, contents):
    with zipfile.ZipFile(path, "w") as archive:
        info = "recbole-1.2.1.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
        for name, content in contents.items():
            archive.writestr(name, content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


_FILES = {
    "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "1\t1\t5\t10\n1\t2\t4\t20\n2\t1\t3\t5\n",
    "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tBlue Moon\t1990\tDrama\n2\tBlue Sun\t1995\tDrama War\n",
    "user": "user_id:token\n1\n2\n",
    "kg": "head_id:token\trelation_id:token\ttail_id:token\nm.1\tby\tm.9\nm.2\tby\tm.9\n",
    "link": "item_id:token\tentity_id:token\n1\tm.1\n2\tm.2\n",
}


def test_without_a_package_index_there_is_one_sentence_and_nothing_is_left(offline):
    with pytest.raises(
        InputError, match=r"ml-100k: pip can't download recbole==1\.2\.1 .*No matching"
    ) as caught:
        fetch.fetch("ml-100k", offline / "out")
    assert "\n" not in str(caught.value)
    assert not (offline / "out").exists()
    assert list((offline / "cache").iterdir()) == []


def test_another_file_under_the_same_name_is_refused(offline):
    name = CATALOG["ml-100k"].wheel
    digest = _wheel(offline / "wheels" / name, {})
    with pytest.raises(InputError, match=f"has the SHA-256 {digest}; expected {CATALOG['ml-100k'].sha256}"):
        fetch.fetch("ml-100k", offline / "out")
    assert not (offline / "out").exists()
    assert list((offline / "cache").iterdir()) == []


def test_a_checked_wheel_is_cached_and_its_raw_files_are_kept(offline, monkeypatch):
    name = CATALOG["ml-100k"].wheel
    files = {f"recbole/dataset_example/ml-100k/ml-100k.{end}": text for end, text in _FILES.items()}
    digest = _wheel(offline / "wheels" / name, files)
    small = dataclasses.replace(CATALOG["ml-100k"], sha256=digest)
    monkeypatch.setitem(CATALOG, "ml-100k", small)
    made = fetch.fetch("ml-100k", offline / "out")
    (offline / "wheels" / name).unlink()
    again = fetch.fetch("ml-100k", offline / "again")
    assert made.fingerprint == again.fingerprint
    assert again.items["label"].to_list() == ["Blue Moon (1990)", "Blue Sun (1995)"]
    assert ("1", "by", "m.9") in set(again.kg.to_named().select("head_id", "relation", "tail_id").rows())
    raw = offline / "again" / "raw"
    kept = {path.name: path.read_text() for path in raw.iterdir()}
    recipe = kept.pop("recipe.yaml")
    assert kept == {f"ml-100k.{end}": _FILES[end] for end in ("item", "kg", "link")}
    # The graph can be built anew from what is kept.
    (raw / "recipe.yaml").write_text(recipe.replace("entity: freebase", "entity: thing"))
    options = KnowledgeOptions(recipe=raw / "recipe.yaml")
    rebuilt = with_knowledge(again, *options.resolve(again))
    names = ("head_id", "relation", "tail_id", "source")
    assert set(rebuilt.kg.to_named().select(names).rows()) == set(again.kg.to_named().select(names).rows())
    assert "thing" in set(rebuilt.kg.entities["kind"])
    # A cached file that has changed is not used.
    (offline / "cache" / name).write_bytes(b"x")
    with pytest.raises(InputError, match="can't download"):
        fetch.fetch("ml-100k", offline / "third")


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(InputError, match=r"'ml-100'.*did you mean 'ml-100k'"):
        catalog_entry("ml-100")


def test_ml_100k(tmp_path):
    entry = CATALOG["ml-100k"]
    cached = fetch.cache_folder() / entry.wheel
    try:
        made = fetch.fetch("ml-100k", tmp_path / "ml")
    except InputError as error:
        if "can't download" in str(error) and not cached.exists():
            pytest.skip(f"no package index here: {error}")
        raise
    loaded = RecDataset.load(tmp_path / "ml")
    assert loaded.fingerprint == made.fingerprint
    assert (loaded.n_users, loaded.n_items, len(loaded.interactions)) == (943, 1682, 100_000)
    assert loaded.items["label"][0] == "Toy Story (1995)"
    per_user = loaded.matrix("test").getnnz(axis=1) / loaded.matrix().getnnz(axis=1)
    assert per_user.mean() == pytest.approx(0.1, abs=0.01)
    assert loaded.interactions["timestamp"].min() == 874724710
    assert loaded.features["text"].shape == (1682, 64)
    named = loaded.kg.to_named()
    assert {"genre", "release_year", "release_decade", "title_word"} <= set(named["relation"])
    knowledge = loaded.provenance["knowledge"]
    assert knowledge["links"][0]["triples"] == 91_631
    assert knowledge["links"][0]["linked"] == 1_598
    # Nine relations are the reverse of others, which say the same; entities of one item alone are left out.
    assert named["source"].str.starts_with("ml-100k.kg:").sum() == 47_168
    ends = np.unique(loaded.kg.triples.select("head", "tail").to_numpy(), axis=0)
    neighbours = np.bincount(ends.ravel(), minlength=loaded.kg.n_entities)
    assert neighbours[loaded.n_items :].min() >= 2
    assert loaded.provenance["package_sha256"] == entry.sha256
    assert "GroupLens" in loaded.provenance["terms"]
