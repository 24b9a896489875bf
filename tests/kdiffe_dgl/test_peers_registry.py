"""Models by name: ours are imported when they are used, installed packages can offer more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kdiffe_dgl.cli import main
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.base import RecommenderModel
from kdiffe_dgl.models.registry import GROUP, MODELS, model_class, model_names
from kdiffe_dgl.serving import Recommender
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import resolve

PLUG_IN = '''
import torch
from kdiffe_dgl.config import Component
from kdiffe_dgl.models.closed_form import ClosedFormModel
from kdiffe_dgl.models.pairwise import PairwiseConfig, PairwiseModel

class Products(PairwiseModel):
    """Factorisation without anything else."""
    name, Config = "products", PairwiseConfig

class Misnamed(Products):
    name = "other"

class Unset(Products):
    name, Config = "unset", dict

class Half(ClosedFormModel):
    name, Config = "half", Component

class Impostor(Products):
    name = "lightgcn"

not_a_class = 3
'''
POINTS = {
    "products": "peers_plugin:Products",
    "misnamed": "peers_plugin:Misnamed",
    "unset": "peers_plugin:Unset",
    "half": "peers_plugin:Half",
    "lightgcn": "peers_plugin:Impostor",
    "number": "peers_plugin:not_a_class",
    "absent": "peers_plugin:Absent",
    "lost": "no_such_module_of_peers:X",
    "broken": "peers_plugin_broken:X",
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay out a distribution as pip leaves it, and put it on the path."""
    site = tmp_path / "site"
    info = site / "peers_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "peers_plugin.py").write_text(PLUG_IN)
    (site / "peers_plugin_broken.py").write_text("1 / 0\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: peers-plugin\nVersion: 1.0\n")
    points = "\n".join(f"{name} = {value}" for name, value in POINTS.items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{points}\n")
    monkeypatch.syspath_prepend(str(site))
    return site


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_name_is_that_of_a_model(name: str) -> None:
    cls = model_class(name)
    assert issubclass(cls, RecommenderModel)
    assert cls.name == name
    assert cls.__doc__


def test_a_model_is_imported_only_when_it_is_asked_for() -> None:
    code = (
        "import sys\n"
        "from kdiffe_dgl.models.registry import MODELS, model_class, model_names\n"
        "ours = {entry.partition(':')[0] for entry in MODELS.values()}\n"
        "assert len(ours) == len(MODELS) and 'lightgcn' in model_names()\n"
        "assert not ours & set(sys.modules)\n"
        "model_class('popularity')\n"
        "assert ours & set(sys.modules) == {'kdiffe_dgl.models.peers.popularity'}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_installed_package_offers_a_model(
    installed: Path, tiny_dataset: RecDataset, tmp_path: Path
) -> None:
    assert set(POINTS) <= set(model_names())
    tiny_dataset.save(tmp_path / "data")
    run = str(tmp_path / "run")
    arguments = ["--data", str(tmp_path / "data"), "--model", "products", "--output", run, "--quiet"]
    done = CliRunner().invoke(
        main, ["train", *arguments, "--set", "model.dim=3", "--set", "training.epochs=2"]
    )
    assert done.exit_code == 0, done.output
    assert RunFolder(run).info.model == "products"
    assert RunFolder(run).representations()[0].shape == (24, 3)
    assert len(Recommender.load(run).recommend(["u1"], k=2)) == 2
    refused = CliRunner().invoke(main, ["train", *arguments, "--overwrite", "--set", "model.dims=3"])
    assert refused.exit_code == 2
    assert "did you mean 'model.dim'?" in refused.stderr


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("misnamed", "Misnamed has the name 'other'; expected the name of its entry point"),
        ("unset", "Unset has no settings; expected a class Config, derived from Component"),
        ("half", "Half lacks representations; expected a class that defines"),
        ("number", "peers_plugin:not_a_class is no subclass of RecommenderModel"),
        ("absent", "peers_plugin:Absent can't be imported (AttributeError: "),
        ("lost", "no_such_module_of_peers:X can't be imported (ModuleNotFoundError: "),
        ("broken", "peers_plugin_broken:X can't be imported (ZeroDivisionError: "),
        ("produtcs", "unknown model 'produtcs'; did you mean 'products'?"),
    ],
)
def test_a_broken_plug_in_is_told_in_one_sentence(name: str, message: str) -> None:
    with pytest.raises(InputError) as told:
        resolve({}, model=name)
    assert str(told.value).startswith("--model: ")
    assert message in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.usefixtures("installed")
def test_an_installed_package_replaces_none_of_ours() -> None:
    assert model_class("lightgcn").__module__ == "kdiffe_dgl.models.lightgcn"
    assert model_names().count("lightgcn") == 1
