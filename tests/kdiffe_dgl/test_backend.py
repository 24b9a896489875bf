"""Import of DGL: each repair in a process of its own, on stand-ins and on the installed version."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTALL = "install it with: pip install 'dgl==2.1.0' pandas packaging"

NEEDS_ALIAS = """
from setuptools.extern import packaging
from setuptools.extern.packaging.version import parse
assert packaging.version.parse("2.0") < parse("10.0")
"""
NEEDS_GRAPHBOLT = "from . import graphbolt\n"
GRAPHBOLT_WITHOUT_TORCHDATA = "import torchdata.datapipes_that_are_gone\n"
GRAPHBOLT_WITHOUT_LIBRARY = (
    "raise FileNotFoundError('Cannot find DGL C++ graphbolt library at /x/libgraphbolt_pytorch.so')\n"
)

REPORT = """
import sys
try:
    from kdiffe_dgl.backend import dgl
    print("version", dgl.__version__)
except ValueError as error:
    print(type(error).__name__, error)
print("alias", "setuptools.extern" in sys.modules)
print("placeholder", type(sys.modules.get("dgl.graphbolt")).__name__ == "_GraphBoltPlaceholder")
"""


def write_package(folder, name, files):
    package = folder / name
    for file, text in files.items():
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_text(text, encoding="utf-8")


def run(program, folder, arguments=()):
    """Run a program in a process where the packages of ``folder`` come before the installed ones."""
    environment = {
        name: value for name, value in os.environ.items() if name not in {"DGLBACKEND", "PYTHONPATH"}
    }
    environment |= {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "HOME": str(folder / "home")}
    (folder / "home").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, *arguments, "-c", program],
        capture_output=True, text=True, check=False, env=environment, cwd=folder,
    )  # fmt: skip


def report(folder):
    """Return the lines that the report prints, and check that nothing else is printed."""
    done = run(REPORT, folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def plain_setuptools(tmp_path):
    """A folder whose ``setuptools`` has no ``extern``, as from version 71 on."""
    write_package(tmp_path, "setuptools", {"__init__.py": ""})
    return tmp_path


def test_a_working_dgl_is_left_alone(plain_setuptools):
    files = {"__init__.py": NEEDS_GRAPHBOLT + "__version__ = 'whole'\n", "graphbolt.py": ""}
    write_package(plain_setuptools, "dgl", files)
    assert report(plain_setuptools) == ["version whole", "alias False", "placeholder False"]


def test_an_old_setuptools_keeps_its_own_alias(tmp_path):
    write_package(
        tmp_path, "setuptools", {"__init__.py": "", "extern/__init__.py": "packaging = 'its own'\n"}
    )
    program = "from setuptools.extern import packaging\n__version__ = packaging\n"
    write_package(tmp_path, "dgl", {"__init__.py": program})
    assert report(tmp_path) == ["version its own", "alias True", "placeholder False"]


def test_the_lost_alias_is_given_back(plain_setuptools):
    write_package(plain_setuptools, "dgl", {"__init__.py": NEEDS_ALIAS + "__version__ = 'aliased'\n"})
    assert report(plain_setuptools) == ["version aliased", "alias True", "placeholder False"]


@pytest.mark.parametrize("graphbolt", [GRAPHBOLT_WITHOUT_TORCHDATA, GRAPHBOLT_WITHOUT_LIBRARY])
def test_a_broken_graphbolt_is_replaced(plain_setuptools, graphbolt):
    files = {"__init__.py": NEEDS_GRAPHBOLT + "__version__ = 'placed'\n", "graphbolt.py": graphbolt}
    write_package(plain_setuptools, "dgl", files)
    assert report(plain_setuptools) == ["version placed", "alias False", "placeholder True"]


def test_both_repairs_together(plain_setuptools):
    files = {
        "__init__.py": "from . import early\n" + NEEDS_GRAPHBOLT + NEEDS_ALIAS + "__version__ = 'both'\n",
        "early.py": "",
        "graphbolt.py": GRAPHBOLT_WITHOUT_TORCHDATA,
    }
    write_package(plain_setuptools, "dgl", files)
    assert report(plain_setuptools) == ["version both", "alias True", "placeholder True"]


def test_use_of_the_placeholder_says_why(plain_setuptools):
    files = {"__init__.py": NEEDS_GRAPHBOLT, "graphbolt.py": GRAPHBOLT_WITHOUT_LIBRARY}
    write_package(plain_setuptools, "dgl", files)
    done = run("from kdiffe_dgl.backend import dgl\ndgl.graphbolt.ItemSet", plain_setuptools)
    assert "dgl.graphbolt.ItemSet is not available: GraphBolt does not load" in done.stderr


def test_missing_dgl_is_one_sentence(tmp_path):
    done = run("import sys\nsys.modules['dgl'] = None\n" + REPORT, tmp_path)
    assert done.stdout.splitlines()[0] == f"InputError DGL is not installed; {INSTALL}"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import pandas_that_is_gone\n", "No module named 'pandas_that_is_gone'"),
        ("raise OSError('libdgl.so: wrong ELF class\\nTried:\\n /a\\n /b')\n", "libdgl.so: wrong ELF class"),
        ("raise RuntimeError\n", "RuntimeError"),
        (  # the repair is made and does not help
            "from setuptools.extern import something_else\n",
            "cannot import name 'something_else' from 'setuptools.extern' (unknown location)",
        ),
    ],
)
def test_a_dgl_beyond_repair_is_one_sentence(plain_setuptools, program, reason):
    write_package(plain_setuptools, "dgl", {"__init__.py": program})
    assert report(plain_setuptools)[0] == f"InputError DGL does not import ({reason}); {INSTALL}"


def test_without_packaging_there_is_no_repair(plain_setuptools):
    write_package(plain_setuptools, "dgl", {"__init__.py": NEEDS_ALIAS})
    done = run("import sys\nsys.modules['packaging'] = None\n" + REPORT, plain_setuptools)
    assert done.stdout.startswith("InputError DGL does not import (import of packaging halted")
    assert (done.stdout.count(INSTALL), done.stderr) == (1, "")


def test_the_installed_dgl_walks_and_passes_gradients_and_writes_nothing(tmp_path):
    program = """
import torch
from kdiffe_dgl.backend import dgl
graph = dgl.heterograph({("user", "to", "item"): ([0, 1, 1], [0, 0, 1]), ("item", "by", "user"): ([0], [1])})
x = torch.ones(2, 3, requires_grad=True)
graph.nodes["user"].data["x"] = x
graph.multi_update_all({"to": (dgl.function.copy_u("x", "m"), dgl.function.sum("m", "y"))}, "sum")
graph.nodes["item"].data["y"].sum().backward()
print(x.grad[:, 0].tolist())
ring = dgl.graph(([0, 1, 2], [1, 2, 0]))
print(dgl.sampling.random_walk(ring, [0, 1], length=3, restart_prob=0.0)[0].tolist())
"""
    done = run(program, tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["[1.0, 2.0]", "[[0, 1, 2, 0], [1, 2, 0, 1]]"]
    assert not list((tmp_path / "home").iterdir())


def test_nobody_else_imports_dgl():
    found = []
    for file in sorted((ROOT / "kdiffe_dgl").rglob("*.py")) + sorted((ROOT / "kg_builders").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if any(name.split(".")[0] == "dgl" for name in names):
                found.append(file.relative_to(ROOT).as_posix())
    assert found == ["kdiffe_dgl/backend.py"]
