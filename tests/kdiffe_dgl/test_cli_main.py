"""The command line: evaluate, recommend and report on a real run folder, and every way to go wrong."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from kdiffe_dgl import __version__
from kdiffe_dgl.cli import main
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.serving import Recommender, RunFolder
from kg_builders.cli import main as kg_build
from kg_builders.cli.shell import OUT, LazyGroup


@pytest.fixture
def data(tiny_dataset: RecDataset, tmp_path: Path) -> Path:
    tiny_dataset.save(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def run(tiny_dataset: RecDataset, tmp_path: Path) -> Path:
    folder = RunFolder.create(tmp_path / "run", tiny_dataset, model="kdiffe", seed=0, config={"a": 1})
    # These representations know the three groups of tastes, so metrics are far from 0.
    taste = np.eye(3)[np.arange(24) % 3]
    folder.write_representations(taste, np.eye(3)[np.arange(18) % 3])
    folder.write_history([{"epoch": 0, "seconds": 1.0, "losses": {"bpr": 0.5}, "validation": None}])
    folder.write_metrics({"validation": {"recall@20": 0.5}, "test": {"recall@20": 0.5}, "mask": ["train"]})
    return folder.path


def kdiffe(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def program(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kdiffe_dgl", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


def assert_one_sentence(result: Result, *parts: str) -> None:
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    for part in parts:
        assert part in result.stderr


# The group


def test_help_lists_the_commands_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom kdiffe_dgl.cli import main\nmain(['--help'], standalone_mode=False)\n"
        "print(sorted({'torch', 'dgl', 'sklearn', 'matplotlib', 'numpy', 'polars'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for command in ("quickstart", "data", "train", "evaluate", "recommend", "explain", "report"):
        assert f"\n  {command} " in done.stdout


def test_version() -> None:
    assert program("--version").stdout == f"kdiffe, version {__version__}\n"


@pytest.mark.parametrize("name", ["evaluate", "recommend", "report"])
def test_commands_explain_themselves(name: str) -> None:
    result = kdiffe(name, "-h")
    assert result.exit_code == 0
    assert f"Usage: kdiffe {name}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train"], "error: missing option '--data' (kdiffe train --help tells the options)"),
        (["--bogus"], "error: no such option '--bogus' (kdiffe --help tells the options)"),
        (
            ["data", "import"],
            "error: missing argument 'SOURCE' (kdiffe data import --help tells the options)",
        ),
        (["recommend", "run"], "error: no users given: use --user, --users-file or --all-users (kdiffe"),
        (["data", "list", "--kind"], "error: no such option '--kind' (kdiffe data list --help"),
    ],
)
def test_usage_errors_are_told_in_a_sentence(arguments: list[str], told: str) -> None:
    assert_one_sentence(kdiffe(*arguments), told)


def test_groups_without_a_command_show_their_help() -> None:
    for arguments in ([], ["data"]):
        result = kdiffe(*arguments)
        assert "Commands:" in result.output


def test_an_output_whose_suffix_names_no_form_is_refused(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "lists.xls"
    result = kdiffe("recommend", run, "--user", "u1", "--output", output)
    assert_one_sentence(result, "expected one of .csv, .json, .parquet")
    assert not output.exists()


def outputs(name: str, command: click.Command) -> Iterator[tuple[str, click.Option]]:
    """Find the options of a command, and of those within it, that name a place to write to."""
    context = click.Context(command)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield from outputs(f"{name} {each}", found)
    for option in command.params:
        if isinstance(option, click.Option) and {"--out", "--output"} & set(option.opts):
            yield name, option


def test_an_empty_name_is_no_place_to_write_to(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    before = sorted(data.iterdir())
    assert_one_sentence(kdiffe("evaluate", run, "--data", data, "--output", ""), "--output '': names nothing")
    assert sorted(data.iterdir()) == before
    found = list(outputs("kdiffe", main))
    assert len(found) > 15
    assert [name for name, option in found if option.type is not OUT] == []


def test_nearest_command_and_option_are_offered(run: Path) -> None:
    wrong_command = kdiffe("recomend")
    assert wrong_command.exit_code == 2
    assert "no such command 'recomend'; did you mean 'recommend'?" in wrong_command.stderr
    assert "expected one of quickstart, data, kg, train" in kdiffe("xyz").stderr
    wrong_option = kdiffe("recommend", run, "--usr", "u1")
    assert wrong_option.exit_code == 2
    assert "--user" in wrong_option.stderr


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LazyGroup:
    """A lazy group with commands of our own, in a module that is imported on use."""
    (tmp_path / "lazy_commands.py").write_text(
        "import time\nimport click\nfrom kg_builders.errors import InputError\n"
        "@click.command()\ndef bad():\n    raise InputError('file.csv: line 3\\nhas 2 fields; expected 3')\n"
        "@click.command()\ndef stop():\n    raise KeyboardInterrupt\n"
        "@click.command()\ndef wait():\n    click.echo('ready')\n    time.sleep(30)\n"
        "@click.group()\ndef nested():\n    pass\nnested.add_command(bad)\n"
        "@click.command()\ndef bug():\n    raise ZeroDivisionError('a bug')\n"
        "@click.command()\ndef fine():\n    click.echo('fine')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    names = ("bad", "stop", "wait", "nested", "bug", "fine")
    group = LazyGroup(
        "kdiffe",
        lazy={name: (f"lazy_commands:{name}", name) for name in names}
        | {"absent": ("module_that_is_not_there:absent", "absent")},
    )
    yield group
    sys.modules.pop("lazy_commands", None)


@pytest.mark.parametrize("arguments", [["bad"], ["nested", "bad"]])
def test_bad_input_is_one_line_and_status_2(failing: LazyGroup, arguments: list[str]) -> None:
    result = CliRunner().invoke(failing, arguments)
    assert_one_sentence(result, "error: file.csv: line 3 has 2 fields; expected 3\n")


def test_interrupt_is_status_130(failing: LazyGroup) -> None:
    result = CliRunner().invoke(failing, ["stop"])
    assert (result.exit_code, result.stderr, result.stdout) == (130, "interrupted\n", "")


def test_other_errors_are_bugs_and_not_hidden(failing: LazyGroup) -> None:
    assert isinstance(CliRunner().invoke(failing, ["bug"]).exception, ZeroDivisionError)


def test_command_that_can_not_be_imported_breaks_no_other(failing: LazyGroup) -> None:
    assert "absent" in CliRunner().invoke(failing, ["--help"]).stdout
    assert CliRunner().invoke(failing, ["fine"]).stdout == "fine\n"
    assert isinstance(CliRunner().invoke(failing, ["absent"]).exception, ModuleNotFoundError)


def test_ctrl_c_in_a_real_process(failing: LazyGroup, tmp_path: Path) -> None:
    code = (
        "from kg_builders.cli.shell import LazyGroup\n"
        "LazyGroup('kdiffe', lazy={'wait': ('lazy_commands:wait', '')})(['wait'])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "interrupted\n")


def test_closed_pipe_ends_quietly(run: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kdiffe_dgl", "recommend", str(run), "--all-users", "--format", "csv"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=20) == 1


# recommend


def test_recommend_prints_labels(run: Path) -> None:
    result = program("recommend", run, "--user", "u1", "-k", "2")
    assert (result.returncode, result.stderr) == (0, "")
    frame = Recommender.load(run).recommend(["u1"], k=2)
    for label in frame["label"]:
        assert label in result.stdout
    assert "reason" not in result.stdout
    assert "no training items" in kdiffe("recommend", run, "--user", "u23").stdout


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
@pytest.mark.parametrize("by_suffix", [True, False])
def test_recommend_writes_what_python_returns(run: Path, tmp_path: Path, form: str, by_suffix: bool) -> None:
    output = tmp_path / (f"out.{form}" if by_suffix else "out")
    how = [] if by_suffix else ["--format", form]
    result = kdiffe("recommend", run, "--all-users", "-k", 3, "--output", output, *how)
    assert (result.exit_code, result.output) == (0, "")
    read = {"csv": pl.read_csv, "json": pl.read_json, "parquet": pl.read_parquet}[form](output)
    loaded = Recommender.load(run)
    expected = loaded.recommend(loaded.users["id"].to_list(), k=3)
    assert read.drop("score").equals(expected.drop("score"))
    np.testing.assert_allclose(read["score"], expected["score"], rtol=1e-6)


@pytest.mark.parametrize(
    ("command", "options", "name"),
    [
        ("recommend", ["--user", "u1"], "mine.csv"),
        ("evaluate", ["--data", "DATA"], "mine.json"),
        ("inspect", ["--data", "DATA"], "mine.html"),
    ],
)
def test_files_are_replaced_with_permission_alone(
    run: Path, data: Path, tmp_path: Path, command: str, options: list[str], name: str
) -> None:
    file = tmp_path / name
    file.write_text("mine")
    asked = [command, run, *(data if option == "DATA" else option for option in options), "--out", file]
    assert_one_sentence(kdiffe(*asked), f"--out {file}: already exists; expected a new file")
    assert file.read_text() == "mine"
    assert kdiffe(*asked, "--overwrite").exit_code == 0
    assert len(file.read_bytes()) > len("mine")


def test_the_suffix_tells_the_form_of_metrics(run: Path, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    assert kdiffe("evaluate", run, "--data", data, "--output", file).exit_code == 0
    assert json.loads(file.read_text(encoding="utf-8"))["split"] == "test"
    tables = tmp_path / "metrics.txt"
    assert kdiffe("evaluate", run, "--data", data, "--output", tables).exit_code == 0
    assert "recall" in tables.read_text(encoding="utf-8")
    asked = ("evaluate", run, "--data", data, "--output", tmp_path / "metrics.csv")
    assert_one_sentence(
        kdiffe(*asked),
        "metrics.csv: the suffix '.csv' names no form; expected one of .json, .txt, or --format",
    )
    assert kdiffe(*asked, "--format", "table").exit_code == 0


@pytest.mark.parametrize(
    ("command", "options", "form", "told"),
    [
        ("evaluate", ["--data", "DATA"], "table", "json"),
        ("recommend", ["--user", "u1"], "csv", "json"),
        ("inspect", ["--data", "DATA"], "html", "json"),
        ("explain", ["--data", "DATA", "--user", "u1"], "svg", "json"),
    ],
)
def test_a_name_that_tells_another_form_is_refused(
    run: Path, data: Path, tmp_path: Path, command: str, options: list[str], form: str, told: str
) -> None:
    file = tmp_path / f"other.{told}"
    asked = [command, run, *(data if option == "DATA" else option for option in options), "--out", file]
    assert_one_sentence(
        kdiffe(*asked, "--format", form), f"its name tells {told}, but --format {form} is asked for"
    )
    assert not file.exists()


def test_recommend_to_standard_output(run: Path) -> None:
    rows = json.loads(kdiffe("recommend", run, "--user", "u1", "--format", "json", "-k", 2).stdout)
    assert [row["rank"] for row in rows] == [1, 2]
    assert kdiffe("recommend", run, "--user", "u1", "--format", "csv").stdout.startswith("user,rank,item,")


def test_recommend_takes_users_from_a_file(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "users.txt"
    file.write_text("\ufeffu3\n\n u4 \n", encoding="utf-8")
    result = kdiffe("recommend", run, "--user", "u1", "--users-file", file, "--format", "csv", "-k", 1)
    assert [line.split(",")[0] for line in result.stdout.splitlines()] == ["user", "u1", "u3", "u4"]


def test_recommend_options_reach_the_recommender(run: Path) -> None:
    def rows(*options: str) -> list[dict]:
        return json.loads(kdiffe("recommend", run, "--format", "json", "-k", 18, *options).stdout)

    assert len(rows("--user", "u1")) == 18 - 5
    assert len(rows("--user", "u1", "--include-seen")) == 18
    assert {row["reason"] for row in rows("--user", "new", "--unknown", "popular")} == {
        "popular: unknown user"
    }


def test_labels_are_not_markup_and_do_not_steer_the_terminal(run: Path) -> None:
    items = pl.read_parquet(run / "items.parquet").with_columns(label=pl.lit("[red]A\x1b[2Jx"))
    items.write_parquet(run / "items.parquet")
    text = kdiffe("recommend", run, "--user", "u1", "-k", 1).stdout
    assert "[red]A [2Jx" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--user", "u112"], ["unknown user 'u112'", "'u12'"]),
        (["--users-file", "{tmp}/none.txt"], ["none.txt: can't be read"]),
        (["--users-file", "{tmp}/empty.txt"], ["empty.txt: holds no user ids"]),
        (["--users-file", "{tmp}/latin.txt"], ["latin.txt: is not UTF-8"]),
        (["--user", "u1", "--output", "{tmp}/no/out.csv"], ["out.csv: can't be written"]),
    ],
)
def test_recommend_names_bad_input(run: Path, tmp_path: Path, arguments: list[str], parts: list[str]) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "latin.txt").write_bytes("Müller\n".encode("latin-1"))
    before = sorted(tmp_path.rglob("*"))
    filled = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    assert_one_sentence(kdiffe("recommend", run, *filled), *parts)
    assert sorted(tmp_path.rglob("*")) == before


def test_recommend_from_what_is_no_run(tmp_path: Path, run: Path) -> None:
    assert_one_sentence(kdiffe("recommend", tmp_path / "none", "--user", "u1"), "none: no such folder")
    (run / "representations.safetensors").write_bytes(b"\x10")
    assert_one_sentence(kdiffe("recommend", run, "--user", "u1"), "representations.safetensors")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no users given"),
        (["--user", "u1", "-k", "0"], "0 is not in the range"),
        (["--user", "u1", "--format", "parquet"], "give --output"),
        (["--user", "u1", "--format", "xml"], "'xml' is not one of"),
    ],
)
def test_recommend_usage_errors(run: Path, arguments: list[str], message: str) -> None:
    result = kdiffe("recommend", run, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_recommend_imports_neither_torch_nor_dgl(run: Path) -> None:
    code = (
        "import sys\nfrom kdiffe_dgl.cli import main\n"
        f"main(['recommend', {str(run)!r}, '--user', 'u1'], standalone_mode=False)\n"
        "print(sorted({'torch', 'dgl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# evaluate


def test_evaluate_measures_by_definition(run: Path, data: Path, tiny_dataset: RecDataset) -> None:
    result = kdiffe("evaluate", run, "--data", data, "--format", "json", "--cutoffs", "3,1")
    content = json.loads(result.stdout)
    users, items = RunFolder(run).representations()
    hits = []
    train = tiny_dataset.matrix("train").toarray()
    for user, relevant in tiny_dataset.pairs("test"):
        scores = np.where(train[user] > 0, -np.inf, users[user] @ items.T)
        hits.append(relevant in np.argsort(-scores, kind="stable")[:3])
    assert content["metrics"]["recall@3"] == pytest.approx(np.mean(hits))
    assert content["metrics"]["recall@3"] > 0.2
    assert content["n_users_evaluated"] == len(hits)
    assert (content["cutoffs"], content["split"], content["mask"]) == ([1, 3], "test", ["train"])


def test_evaluate_prints_a_table_and_writes_it(run: Path, data: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", run, "--data", data, "--split", "validation", "--cutoffs", "2"]
    shown = kdiffe(*arguments)
    assert shown.exit_code == 0
    assert "kdiffe on tiny, validation split: 23 users (1 more" in " ".join(shown.stdout.split())
    assert "ndcg" in shown.stdout
    output = tmp_path / "table.txt"
    assert kdiffe(*arguments, "--output", output).output == ""
    assert output.read_text(encoding="utf-8") == shown.stdout


def test_evaluate_can_mask_validation_items(run: Path, data: Path) -> None:
    content = json.loads(
        kdiffe("evaluate", run, "--data", data, "--mask", "train+validation", "--format", "json").stdout
    )
    assert content["mask"] == ["train", "validation"]


def test_evaluate_refuses_another_data_set(run: Path, tiny_dataset: RecDataset, tmp_path: Path) -> None:
    tiny_dataset.replace(kg=None).save(tmp_path / "other")
    output = tmp_path / "out.json"
    result = kdiffe("evaluate", run, "--data", tmp_path / "other", "--format", "json", "--output", output)
    assert_one_sentence(result, "expected the data set that it was trained on")
    assert not output.exists()


def test_evaluate_names_bad_input(run: Path, data: Path, tmp_path: Path) -> None:
    assert_one_sentence(kdiffe("evaluate", run, "--data", tmp_path / "none"), "none")
    assert_one_sentence(
        kdiffe("evaluate", run, "--data", data, "--split", "validation", "--mask", "train+validation"),
        "both evaluated and masked",
    )
    for cutoffs in ("0", "ten", "5,", "-3"):
        result = kdiffe("evaluate", run, "--data", data, f"--cutoffs={cutoffs}")
        assert result.exit_code == 2
        assert "is not a list of numbers from 1" in result.stderr


# report


def test_report_prints_where_the_page_is(run: Path) -> None:
    result = kdiffe("report", run)
    assert result.stdout == f"{run / 'report.html'}\n"
    assert (run / "report.html").is_file()
    assert_one_sentence(kdiffe("report", run.parent), "run.json: missing file")


def test_input_error_is_an_ordinary_exception_in_python() -> None:
    assert issubclass(InputError, ValueError)
    assert not issubclass(InputError, click.ClickException)


def commands(group: click.Command, ctx: click.Context) -> Iterator[click.Command]:
    """Yield the commands of a group and of the groups within it."""
    if isinstance(group, click.Group):
        for name in group.list_commands(ctx):
            found = group.get_command(ctx, name)
            assert found is not None
            yield from commands(found, ctx)
    else:
        yield group


@pytest.mark.parametrize("group", [main, kg_build], ids=["kdiffe", "kg-build"])
def test_what_a_command_writes_has_the_same_two_names_everywhere(group: click.Group) -> None:
    written = 0
    for command in commands(group, click.Context(group)):
        for option in command.params:
            if {"--out", "--output"} & set(option.opts):
                assert set(option.opts) == {"--out", "--output"}, command.name
                assert option.type is OUT
                written += 1
    assert written > 4
