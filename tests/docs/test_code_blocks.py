"""Every code block of README.md and docs/ does what it says: Python runs, recipes load, rows are read, and the command
line knows every command and option that a page tells its reader to type.

What cannot run here has a comment in front of it, `<!-- not run: REASON -->`, and its reason stands in `REASONS`.
"""

from __future__ import annotations

import copy
import doctest
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import typer
import yaml
from markdown_pages import ROOT, Block, blocks, inline_code, pages
from PIL import Image

from mmupt.cli import app
from mmupt.data.dataset import load_labeled, load_pairs, load_prompts
from mmupt.data.settings import DataSettings
from mmupt.errors import ConfigError
from mmupt.evals.benchmarks import BENCHMARKS
from mmupt.offline.rows import open_source, read_group_row, read_labeled_row
from mmupt.recipe import Recipe, load_recipe, shipped_recipes
from mmupt.recipe.kinds import STAGE_MODELS
from mmupt.recipe.overrides import assignment
from mmupt.recipe.rounds import LOOP

REASONS = ("needs a GPU", "needs the hub", "needs a model server", "needs another machine", "takes minutes")
MOST_NOT_RUN = 6
LANGUAGES = ("console", "python", "toml", "json", "jsonl", "yaml", "text")

PAGES = pages()
BLOCKS = [block for page in PAGES for block in blocks(page)]
SHIPPED = {recipe.name for recipe in shipped_recipes()}


def of(*languages: str) -> Any:
    """The blocks of these languages that are to be run, one test each."""
    chosen = [block for block in BLOCKS if block.language in languages and block.not_run is None]
    return pytest.mark.parametrize("block", chosen, ids=[block.where for block in chosen])


def test_every_block_says_what_it_is() -> None:
    unknown = [f"{block.where}: {block.language!r}" for block in BLOCKS if block.language not in LANGUAGES]
    assert not unknown, f"give each block one of the languages {LANGUAGES}"


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    left_out = [block for block in BLOCKS if block.not_run is not None]
    assert [block.where for block in left_out if block.not_run not in REASONS] == []
    assert len(left_out) <= MOST_NOT_RUN, [block.where for block in left_out]
    lost = [page.name for page in PAGES if page.read_text().count("<!-- not run") != sum(
        block.page == page for block in left_out
    )]  # fmt: skip
    assert lost == [], "a comment that does not stand right before a block"


# Python


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the files that pages speak of: rows, pictures, responses."""
    rows = [
        {"id": str(n), "question": "<image>What is the area?", "images": [f"images/{n}.png"], "answer": str(n)}
        for n in range(1, 13)
    ]
    write_rows(tmp_path / "my" / "train.jsonl", rows)
    write_rows(tmp_path / "my" / "test.jsonl", rows)
    write_rows(tmp_path / "responses.jsonl", [{"response": "\\boxed{1/2}", "answer": "0.5"}])
    write_rows(tmp_path / "groups.jsonl", [{"responses": ["\\boxed{1}", "\\boxed{2}", "\\boxed{1}"]}])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_rows(file: Path, rows: list[dict[str, Any]]) -> Path:
    """JSON lines with a small picture wherever they name one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for row in rows:
        for name in row.get("images") or ():
            picture = file.parent / name
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (56, 56), "white").save(picture)
    return file


WITH_PYTHON = [page for page in PAGES if any(b.language == "python" and b.not_run is None for b in blocks(page))]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=[str(page.relative_to(ROOT)) for page in WITH_PYTHON])
def test_python(page: Path, folder: Path) -> None:
    """The blocks of a page are one program: a later one may use what an earlier one has made."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if block.language != "python" or block.not_run is not None:
            continue
        if block.text.startswith(">>>"):
            told: list[str] = []
            example = doctest.DocTestParser().get_doctest(block.text, names, block.where, str(page), block.line)
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
            assert runner.run(example, out=told.append, clear_globs=False).failed == 0, "".join(told)
            names |= example.globs
        else:
            exec(compile("\n" * block.line + block.text, str(page), "exec"), names)


# Recipes

BASE = {
    "upt": {"kind": "upt", "name": "upt", "steps": 1},
    "rl": {"kind": "rl", "name": "rl", "steps": 1},
    "sft": {"kind": "sft", "name": "sft"},
    "dpo": {"kind": "dpo", "name": "dpo"},
    "synth": {"kind": "synth", "name": "synth"},
    "targets": {"kind": "targets", "name": "targets"},
    "pairs": {"kind": "pairs", "name": "pairs", "prefer": "judge"},
}


def completed(fragment: Mapping[str, Any]) -> dict[str, Any]:
    """The smallest recipe that holds the fragment: its own stages, or else the first kind that has all its tables."""
    document = copy.deepcopy(dict(fragment))
    document.setdefault("name", "fragment")
    document.setdefault("model", {}).setdefault("path", "world:tiny")
    document.setdefault("data", {}).setdefault("path", "rows.jsonl")
    if "stages" not in document:
        tables = document.keys() - Recipe.model_fields.keys() - {LOOP}
        fitting = [kind for kind in BASE if tables <= STAGE_MODELS[kind].model_fields.keys()]
        assert fitting, f"no kind of stage has all of {sorted(tables)}"
        document["stages"] = [BASE[fitting[0]]]
    document["stages"] = [{**BASE.get(stage["kind"], {}), **stage} for stage in document["stages"]]
    readers = [stage for stage in document["stages"] if "data" in STAGE_MODELS[stage["kind"]].model_fields]
    if not readers and "data" not in fragment:
        del document["data"]
    return document


@of("toml")
def test_recipes_load(block: Block, folder: Path) -> None:
    document = tomllib.loads(block.text)
    if "project" in document:  # a package's pyproject.toml
        return
    whole = {"name", "model", "stages"} <= document.keys()
    file = folder / "recipe.toml"
    file.write_text(block.text if whole else tomli_w.dumps(completed(document)), encoding="utf-8")
    load_recipe(str(file))


@pytest.mark.parametrize("wrong", ["[guard]\nwatched = 3", "[reward]\nname = 'mayority'", "[gard]\nwatch = 3"])
def test_a_wrong_fragment_is_found(wrong: str, folder: Path) -> None:
    with pytest.raises((ConfigError, AssertionError)):
        test_recipes_load(Block(ROOT, 0, "toml", wrong, None), folder)


# Rows


@of("yaml")
def test_yaml_is_read(block: Block) -> None:
    assert yaml.safe_load(block.text) is not None


@of("json", "jsonl")
def test_rows_are_read(block: Block, folder: Path) -> None:
    rows = [json.loads(line) for line in block.text.splitlines()] if block.language == "jsonl" else None
    rows = rows if rows is not None else [json.loads(block.text)]
    file = write_rows(folder / "rows.jsonl", rows)
    keys = set().union(*rows)
    if keys & {"response", "responses"}:
        for raw in open_source(str(file)):
            (read_labeled_row if "answer" in raw.values else read_group_row)(raw, "rows")
    elif "question" in keys:
        settings = DataSettings(path=str(file))
        labeled = all("answer" in row for row in rows)
        load = load_pairs if "chosen" in keys else load_labeled if labeled else load_prompts
        assert len(load(settings).rows) == len(rows)


# Commands

GROUP: Any = typer.main.get_command(app)
TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), flags=re.M))
FILES = {"py", "md", "json", "jsonl", "parquet", "safetensors", "toml", "html"}
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
UNCHECKED = {"cd", "ls", "cat", "less", "git", "vllm", "tensorboard", "kill", "export", "unzip", "tar", "head", "jq",
             "cp", "mkdir"}  # fmt: skip
MODULES = {"venv", "http.server", "build", "json.tool", "verl.trainer.main_ppo"}
WRAPPERS = {"torchrun", "srun", "env", "nohup", "time", "accelerate", "ray"}


def command_lines(text: str) -> list[str]:
    """What stands behind the prompt `$ `, continued lines joined; all else is output."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


def simple_commands(line: str) -> list[list[str]]:
    """The words of each command of a line: pipes, redirections, variables and comments taken away."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|<>;")
    lexer.whitespace_split, lexer.commenters = True, "#"
    commands: list[list[str]] = [[]]
    redirected = False
    for word in lexer:
        if set(word) <= set("&|;"):
            commands.append([])
        elif set(word) <= set("<>"):
            redirected = True
        elif redirected:
            redirected = False
        elif commands[-1] or not re.fullmatch(r"[A-Z_]+=.*", word):
            commands[-1].append(word)
    return [command for command in commands if command]


@of("console")
def test_commands_exist(block: Block, folder: Path) -> None:
    lines = command_lines(block.text)
    assert lines, "a console block without a line that begins with `$ `"
    for line in lines:
        for words in simple_commands(line):
            check_command(words, folder)


def check_command(words: list[str], folder: Path) -> None:
    name, arguments = Path(words[0]).name, words[1:]
    if name in WRAPPERS:
        inner = [index for index, word in enumerate(arguments) if word in ("mmupt", "mmupt.cli")]
        assert inner, f"{name}: does not start mmupt"
        name, arguments = "mmupt", arguments[inner[0] + 1 :]
    known: dict[str, Callable[[list[str], Path], None]] = {
        "mmupt": check_mmupt,
        "make": check_make,
        "python": check_python,
        "python3": check_python,
        "pip": check_pip,
    }
    if name in known:
        known[name](arguments, folder)
    else:
        assert name in UNCHECKED, f"the test does not know the command {name!r}"


def check_make(arguments: list[str], folder: Path) -> None:
    for target in arguments:
        assert "=" in target or target in TARGETS, f"make has no target {target}"


def check_pip(arguments: list[str], folder: Path) -> None:
    for extras in re.findall(r"(?:mmupt[^\[ ]*|^\.)\[([\w,-]+)\]", "\n".join(arguments), flags=re.M):
        assert set(extras.split(",")) <= EXTRAS, f"mmupt has no extra {extras}"


def check_python(arguments: list[str], folder: Path) -> None:
    if arguments[0] == "-m":
        module, rest = arguments[1], arguments[2:]
        if module == "mmupt.cli":
            check_mmupt(rest, folder)
        elif module == "pip":
            check_pip(rest, folder)
        elif module == "pytest":
            assert all(word.startswith("-") or (ROOT / word).exists() for word in rest), f"no such tests: {rest}"
        else:
            assert module in MODULES, f"the test does not know python -m {module}"
        return
    script = ROOT / arguments[0]
    source = script.read_text(encoding="utf-8")
    for option in arguments[1:]:
        assert not option.startswith("--") or f'"{option.split("=")[0]}"' in source, f"{script.name} has no {option}"


def check_mmupt(arguments: list[str], folder: Path) -> None:
    """The command line takes it, and the recipe that it names takes every --set."""
    if arguments in (["--help"], ["--version"]):
        return
    params = parsed(arguments)
    sets = params.get("sets") or []
    if arguments[0] == "demo":
        recipe = "demo"
    elif arguments[0] == "eval" and params["benchmarks"]:
        names = params["benchmarks"].split(",")
        assert {name.partition("=")[0] for name in names} <= BENCHMARKS.keys(), f"no such benchmark: {names}"
        recipe, sets = "benchmarks", [assignment("evaluation.benchmarks", names), *sets]
    elif arguments[0] == "eval":
        recipe = "eval"
    elif "recipe" in params and params["recipe"] is not None:
        recipe = params["recipe"]
    else:
        return
    if recipe not in SHIPPED:
        recipe = str(ROOT / recipe if (ROOT / recipe).is_file() else own_recipe(folder))
    try:
        load_recipe(recipe, sets)
    except ConfigError as error:  # what a shipped recipe leaves to its user may be missing, nothing else
        problems = [problem for problem in error.problems if ": missing" not in problem]
        assert not problems, f"{shlex.join(['mmupt', *arguments])}: {problems}"


def parsed(arguments: list[str]) -> dict[str, Any]:
    """The parameters of a command, nested ones too, without running it. N stands for some number."""
    context, command = GROUP.make_context("mmupt", list(arguments), resilient_parsing=True), GROUP
    rest = ["1" if word == "N" else word for word in arguments]
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest)
        if command is None and arguments[0] in {option for param in GROUP.params for option in param.opts}:
            return {}  # an option of mmupt itself, such as --version
        if not hasattr(command, "resolve_command"):
            break
        context = command.make_context(name, list(rest), parent=context, resilient_parsing=True)
    try:
        return dict(command.make_context(name, rest, parent=context).params)
    except typer.Exit:  # --help
        return {}
    except Exception as error:
        message = error.format_message() if hasattr(error, "format_message") else error
        pytest.fail(f"mmupt {shlex.join(arguments)}: {message}")


def own_recipe(folder: Path) -> Path:
    """The recipe of README, in the place of those that users write."""
    (text,) = [b.text for b in BLOCKS if b.page.name == "README.md" and b.language == "toml" and "[[stages]]" in b.text]
    file = folder / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "wrong",
    [
        "mmupt runn demo",
        "mmupt run demo --sets a=1",
        "mmupt run demo --set optimizer.learning=1",
        "mmupt run mine.toml --set stages.upt.stepps=1",
        "mmupt grade",
        "mmupt eval --model M --benchmarks mathvisoin",
        "make everything",
        "python benchmarks/probe.py --no-such-option",
        "python benchmarks/nothing.py",
        "pip install 'mmupt[everything]'",
        "torchrun --nproc-per-node 2 -m mmupt.cli runn demo",
        "frobnicate --all",
    ],
)
def test_a_wrong_command_is_found(wrong: str, folder: Path) -> None:
    with pytest.raises((AssertionError, OSError, pytest.fail.Exception)):
        test_commands_exist(Block(ROOT, 0, "console", f"$ {wrong}", None), folder)


# Code in running text


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_inline_commands_and_keys(page: Path) -> None:
    faults = [f"{where}: `{code}`: {fault}" for where, code in inline_code(page) if (fault := inline_fault(code))]
    assert not faults, "\n".join(faults)


def inline_fault(code: str) -> str | None:
    """What is wrong with code in a sentence: a command, an option, a key of a recipe or a file that does not exist."""
    words = code.split()
    if len(words) > 1 and words[0] == "mmupt" and words[1][0].islower():
        command = GROUP.commands.get(words[1])
        if command is None:
            return f"no command {words[1]}"
        known = {option for param in command.params for option in param.opts} | {"--help"}
        return next((f"no option {word}" for word in words if word.startswith("--") and word not in known), None)
    key = re.match(r"([a-z_]+(?:\.[a-z_]+)+)(?: = .*)?$", code)
    if key is not None and key[1].split(".")[0] in KEYS and key[1].rpartition(".")[2] not in FILES:
        return None if key[1] in KEYS else "no such key"
    if re.fullmatch(r"[\w-]+(/[\w-]+)*/\w+\.py", code):
        places = (ROOT, ROOT / "src" / "mmupt", ROOT / "tests", ROOT / "benchmarks")
        ours = any((place / code.split("/")[0]).is_dir() for place in places)  # not of another project
        return "no such file" if ours and not any((place / code).is_file() for place in places) else None
    return None


def keys_below(model: type[Any], prefix: str) -> set[str]:
    """`rollout`, `rollout.group_size`, `rollout.vllm.sleep`, ..."""
    from settings_page import inner_settings

    found = set()
    for key, field in model.model_fields.items():
        found.add(prefix + key)
        inner = inner_settings(field)
        if inner is not None:
            found |= keys_below(inner, f"{prefix}{key}.")
    return found


KEYS = set().union(*(keys_below(model, "") for model in (Recipe, *STAGE_MODELS.values())))


def test_a_wrong_word_in_a_sentence_is_found() -> None:
    wrong = ["mmupt runn", "mmupt run --fast", "rollout.size", "guard.watched = 3", "algo/pack.py"]
    right = ["mmupt run", "mmupt run --resume", "rollout.group_size = 8", "guard.watch", "algo/packing.py", "e.g."]
    assert all(inline_fault(code) for code in wrong)
    assert not any(inline_fault(code) for code in right)
