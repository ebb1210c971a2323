"""The floors of docs/architecture.md against the imports in the code, and the public face."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module, metadata
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

import axon

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "axon"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

# The imports that go up: inside a function, and each for a reason.
DOORS = {
    ("timecourses", "waveforms"): "a description names the functions that read it",
    ("geometry", "swc"): "Axon.from_swc() is where one looks for it",
    ("geometry", "trees"): "branches are put on an axon by axon.branch()",
    ("membranes", "plots"): "membrane.plot() is where one looks for it",
    ("populations", "plots"): "a population's plot() is where one looks for it",
    ("results", "plots"): "sweep.plot() is where one looks for it",
    ("runs", "plots"): "run.plot() is where one looks for it",
    ("runs", "report"): "run.report() is where one looks for it",
    ("trees", "swc"): "tree.to_swc() is where one looks for it",
}

# Who may import a package that isn't Python's own, even inside a function: one place for each.
FOREIGN = {
    "cloudpickle": {"engines"},
    "distributed": {"engines"},
    "h5py": {"runfile", "segments", "storage"},
    "matplotlib": {"plots"},
    "mpi4py": {"engines"},
    "mpl_toolkits": {"plots"},
    "pint": {"units"},
    "pyarrow": {"results"},
    "xarray": {"results", "runs"},
}
ONLY_IN_FUNCTIONS = set(FOREIGN)
WITHOUT_NUMPY = {"__main__", "cli", "errors"}  # `axon --help` answers at once


class Import(NamedTuple):
    importer: str
    """The file's name, or that of the folder it lies in."""
    imported: str
    """Dotted; of axon's own modules without the axon in front."""
    in_function: bool


def unit_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


FILES = {
    file: ast.parse(file.read_text("utf-8"), str(file))
    for file in sorted(PACKAGE.rglob("*.py"))
    if file != PACKAGE / "__init__.py"
}
UNITS = {unit_of(file) for file in FILES} | {file.stem for file in PACKAGE.glob("*.pyx")}


def names_in(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
    else:
        assert node.level == 0 and node.module, "imports are written in full"
        for alias in node.names:
            of_axon = node.module == "axon" and alias.name in UNITS
            yield f"axon.{alias.name}" if of_axon else node.module


def imports_in(node: ast.AST, unit: str, in_function: bool = False) -> Iterator[Import]:
    """Imports that are carried out: not those for the type checker alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            for name in names_in(child):
                yield Import(unit, name.removeprefix("axon."), in_function)
        deeper = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from imports_in(child, unit, in_function or deeper)


def imports() -> Iterator[Import]:
    for file, tree in FILES.items():
        yield from imports_in(tree, unit_of(file))
    for file in PACKAGE.glob("*.pyx"):  # Cython's own cimport is of C's declarations
        text = file.read_text("utf-8")
        for name in re.findall(r"^(?:import|from(?= \S+ import)) ([\w.]+)", text, re.M):
            yield Import(file.stem, name.removeprefix("axon."), False)


IMPORTS = list(imports())
WITHIN = [i for i in IMPORTS if i.imported.split(".")[0] in UNITS]


def floors() -> dict[str, tuple[int, int, int]]:
    """Floor, room and place of each file, as docs/architecture.md has them."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    (block,) = re.findall(r"<!-- floors -->\n+```text\n(.*?)```", text, re.S)
    return {
        name: (height, room, place)
        for height, line in enumerate(reversed(block.splitlines()))
        for room, names in enumerate(line.split("|"))
        for place, name in enumerate(names.split())
    }


FLOORS = floors()


def allowed(importer: str, imported: str) -> bool:
    """From the floors below, and from one's left in the same room."""
    above, below = FLOORS[importer], FLOORS[imported]
    return below[0] < above[0] or (below[:2] == above[:2] and below[2] < above[2])


def test_every_file_is_on_a_floor():
    assert FLOORS.keys() == UNITS


@pytest.mark.parametrize("unit", sorted(UNITS))
def test_imports_go_down(unit):
    wrong = [
        f"{unit} imports {imported}"
        for _, imported, in_function in (i for i in WITHIN if i.importer == unit)
        if (target := imported.split(".")[0]) != unit
        and not allowed(unit, target)
        and not (in_function and (unit, target) in DOORS)
    ]
    assert not wrong


def test_every_door_is_used():
    """One that isn't is a hole."""
    upward = {
        (i.importer, i.imported)
        for i in WITHIN
        if i.in_function and not allowed(i.importer, i.imported.split(".")[0])
    }
    assert upward >= DOORS.keys()


def test_the_rule_can_be_broken():
    tree = ast.parse("from axon import study\ndef f():\n    import axon.cli\n")
    found = list(imports_in(tree, "errors"))
    assert found == [Import("errors", "study", False), Import("errors", "cli", True)]
    assert not any(allowed(i.importer, i.imported) for i in found)
    assert not allowed("geometry", "channels")
    assert not allowed("channels", "geometry")


def test_of_the_facade_only_the_version_is_used_inside():
    """Anything else would be an import that the floors don't see."""
    for file, tree in FILES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "axon":
                taken = {alias.name for alias in node.names} - UNITS
                assert taken <= {"__version__"}, file
            if isinstance(node, ast.Import):
                assert "axon" not in {alias.name for alias in node.names}, file


def test_packages_of_others_have_one_place_each():
    for importer, imported, in_function in IMPORTS:
        package = imported.split(".")[0]
        if package in UNITS | {"axon"} or package in sys.stdlib_module_names:
            continue
        if package == "numpy":
            assert importer not in WITHOUT_NUMPY or in_function, importer
            continue
        assert importer in FOREIGN.get(package, ()), f"{importer} imports {package}"
        assert in_function or package not in ONLY_IN_FUNCTIONS, f"{importer} imports {package}"


def test_only_the_command_line_prints():
    for file, tree in FILES.items():
        calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        printed = any(isinstance(func, ast.Name) and func.id == "print" for func in calls)
        assert printed == (unit_of(file) == "cli"), file


# The public face


def test_importing_axon_is_quick_and_does_nothing():
    code = (
        "import sys, time\n"
        "began = time.perf_counter()\n"
        "import axon\n"
        "took = time.perf_counter() - began\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "heavy = loaded & {'numpy', 'h5py', 'pint', 'matplotlib', 'xarray'}\n"
        "parts = [name for name in sys.modules if name.startswith('axon.')]\n"
        "print(took, *heavy, *parts)\n"
    )

    def measured() -> tuple[float, list[str]]:
        command = [sys.executable, "-c", code]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return float(out[0]), out[1:]

    tries = [measured() for _ in range(3)]
    assert min(took for took, _ in tries) < 0.3  # the machine may be busy with something else
    assert all(loaded == [] for _, loaded in tries)


def test_whoever_writes_no_file_waits_for_nothing_that_writes_files():
    code = (
        "import sys, axon\n"
        "fibre = axon.Axon.cylinder(1000.0, 1.0, dx=50.0)\n"
        "pulse = axon.CurrentClamp(0.0, axon.pulse(0.1, start=0.0, duration=0.5))\n"
        "sim = axon.Simulation(fibre, axon.models.sundt(), [pulse])\n"
        "axon.threshold(sim, 5.0, tolerance=0.5)\n"
        "sim.run(1.0).spikes\n"
        "print(*sys.modules)\n"
    )
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    ours = {f"axon.{unit}" for unit in ("storage", "segments", "disk", "restart", "estimate")}
    others = {"h5py", "pint", "hashlib", "logging", "concurrent", "decimal", "subprocess"}
    assert "axon.simulation" in loaded
    assert (ours | others).isdisjoint(loaded)


@pytest.mark.parametrize("name", axon.__all__)
def test_public_names_are_there(name):
    value = getattr(axon, name)
    if name in axon._HOMES:
        assert value is getattr(import_module(f"axon.{axon._HOMES[name]}"), name)
    assert name in dir(axon)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="'axon' has no attribute 'sqiud'"):
        axon.sqiud  # noqa: B018


def test_no_public_name_is_hidden_by_a_module():
    """Importing axon.plots makes it an attribute of axon, whatever that was before."""
    assert not axon._HOMES.keys() & UNITS


def test_the_type_checker_sees_the_same_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, "only `x as x` counts as public"
            seen[alias.name] = node.module
    homes = {name: f"axon.{home}" for name, home in axon._HOMES.items()}
    assert seen == homes | dict.fromkeys(axon._MODULES, "axon")


def test_names_are_told_once_and_in_order():
    assert len(set(axon.__all__)) == len(axon.__all__)
    for first, second in pairwise(axon._HOMES.items()):
        assert first[1] < second[1] or (first[1] == second[1] and first[0] < second[0])


# The distribution


def test_all_folders_are_installed():
    code = {file.parent for file in PACKAGE.rglob("*") if file.suffix in (".py", ".toml")}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in code}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == names


def test_the_version_has_one_source():
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "axon.__version__"}
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    newest = re.search(r"^## \[([^\]]+)\]", changes, re.M)
    assert newest and newest[1] == axon.__version__
    try:
        installed = metadata.version("axon-cable")
    except metadata.PackageNotFoundError:
        return  # straight from the source tree
    assert installed == axon.__version__


def test_a_threshold_loads_nothing_that_it_does_not_need():
    """Of the time that a short question takes, loading modules is the most."""
    code = (
        "import sys, axon\n"
        "fibre = axon.Axon.cylinder(1000.0, 1.0, Ra=100.0, compartments=50)\n"
        "source = axon.PointSource(500.0, 0.0, 100.0)\n"
        "pulse = axon.pulse(-1.0, start=0.1, duration=0.2)\n"
        "electrode = axon.Extracellular(source, pulse)\n"
        "sim = axon.Simulation(fibre, axon.models.sundt(), [electrode], celsius=37.0)\n"
        "axon.threshold(sim, 10.0)\n"
        "print(*sys.modules)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "axon._kernel" in out.stdout
    heavy = {"h5py", "html", "matplotlib", "multiprocessing", "numpy.ma", "pint", "xarray"}
    assert not heavy & set(out.stdout.split())
