"""What the documentation shows is run: blocks of Markdown, and the examples of docstrings.

A page's blocks run in their order, in one namespace and in one folder, where run.h5 is a run of the
squid axon. What stands behind the fence says how:

* ``python`` is executed; ``pycon``, with prompts, must also print what is shown;
* ``toml``, the page's first, is a study; a later one is that study with these tables instead;
* ``console`` shows ``$ axon ...`` and what it prints, if anything is shown.

In what is shown, ``...`` stands for anything.
"""

from __future__ import annotations

import doctest
import pkgutil
import re
import shlex
import textwrap
import tomllib
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

import axon
from axon import cli, sources, study, waveforms

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run file, as examples take for granted."""
    path = tmp_path_factory.mktemp("examples") / "run.h5"
    axon.run("squid", output=path)
    return path


class Block(NamedTuple):
    language: str
    text: str
    line: int


def blocks(page):
    """Fenced ones; and those that are indented, if they begin with a command of axon's."""
    text = page.read_text("utf-8")
    fenced = re.compile(r"^```(\w+)\n((?:.*\n)*?)```$|^( {4}\$ axon .*\n(?: {4}.*\n)*)", re.M)
    for found in fenced.finditer(text):
        language, inside, indented = found.groups()
        line = text.count("\n", 0, found.start()) + 2
        yield Block(language or "console", inside or textwrap.dedent(indented), line)


def check_examples(text, name, namespace, line=0):
    """Run a text's prompts; what they print must be what the text shows."""
    examples = doctest.DocTestParser().get_doctest(text, namespace, name, name, line)
    # Whoever parses copies the namespace, and the page goes on with this one.
    examples.globs = namespace
    told = []
    doctest.DocTestRunner(optionflags=FLAGS).run(examples, out=told.append, clear_globs=False)
    assert not told, "".join(told)


def check_console(text, capsys):
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n?)*)", text, re.M):
        program, *arguments = shlex.split(command)
        if program != "axon":
            continue
        target = None
        if ">" in arguments:
            *arguments, _, target = arguments
        cli.main(arguments)
        printed = "".join(capsys.readouterr())
        if target is not None:
            Path(target).write_text(printed, "utf-8")
        elif shown.strip():
            shown = re.sub(r"^(wall time +).*", r"\1...", shown, flags=re.M)
            same = doctest.OutputChecker().check_output(shown, printed, FLAGS)
            assert same, f"{command} printed\n{printed}and not\n{shown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run(page, recorded, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.h5").symlink_to(recorded)
    namespace = {"__name__": "__main__"}
    whole = tmp_path / "study.toml"
    for language, text, line in blocks(page):
        if language == "python":
            exec(compile("\n" * (line - 1) + text, str(page), "exec"), namespace)
        elif language == "pycon":
            check_examples(text, str(page), namespace, line - 1)
        elif language == "console":
            check_console(text, capsys)
        elif language == "toml" and not whole.exists():
            whole.write_text(text, "utf-8")
            study.load(whole)
        elif language == "toml":
            study.load(whole, tomllib.loads(text))


def test_blocks_are_found():
    """An expression that no longer fits would find nothing wrong."""
    languages = {page.name: [block.language for block in blocks(page)] for page in PAGES}
    assert languages["README.md"] or languages["library.md"]
    assert languages["library.md"].count("python") >= 5
    assert languages["library.md"].count("pycon") >= 2
    assert languages["studies.md"].count("toml") >= 5
    assert "console" in languages["command-line.md"]


def test_what_is_shown_is_compared(capsys):
    check_examples(">>> 1 + 1\n2\n", "good", {})
    with pytest.raises(AssertionError, match=r"Expected:\n *3"):
        check_examples(">>> 1 + 1\n3\n", "bad", {})
    check_console("$ axon models\nhodgkin_huxley ...\npassive ...\n", capsys)
    with pytest.raises(AssertionError, match=r"and not\n *nothing"):
        check_console("$ axon models\nnothing\n", capsys)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    dead = [
        link
        for link in links
        if not re.match(r"https?:", link) and not (page.parent / link.partition("#")[0]).exists()
    ]
    assert not dead


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    for page in ROOT.glob("docs/*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index


def test_every_key_of_a_study_is_told():
    text = (ROOT / "docs" / "studies.md").read_text("utf-8")
    kinds = (
        study._AXON,
        study._WAVEFORM,
        study._SOURCE,
        study._STIMULUS,
        study._SIMULATION,
    )
    keys = set().union(*kinds, study._RECORD, study._VELOCITY, ["type", "model", "scaled", "shape"])
    assert not {key for key in keys if f"`{key}`" not in text}
    choices = {*study._CABLES, *study._TREES, *waveforms.SHAPES, *sources.SHAPES}
    assert not {choice for choice in choices if f'`"{choice}"`' not in text}
    assert not {table for table in study._STUDY if f"[{table}]" not in text} - {"title"}


# Docstrings


def modules():
    yield axon
    for found in pkgutil.walk_packages(axon.__path__, "axon."):
        if not found.name.endswith(".__main__"):
            yield import_module(found.name)


EXAMPLES = [
    test
    for module in modules()
    for test in doctest.DocTestFinder().find(module, extraglobs={"axon": axon})
    if test.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_docstrings(example, recorded, monkeypatch):
    monkeypatch.chdir(recorded.parent)
    told = []
    doctest.DocTestRunner(optionflags=FLAGS).run(example, out=told.append)
    assert not told, "".join(told)


def test_docstrings_are_found():
    assert "axon.analysis.conduction_velocity" in {example.name for example in EXAMPLES}
