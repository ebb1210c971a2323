from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest
from test_study import SMALL

from axon import __version__, cli, models, plots, segments, storage, study
from axon.analysis import action_potential
from axon.cli import main
from axon.disk import open_run
from axon.errors import DivergedError
from axon.geometry import Axon
from axon.simulation import Simulation
from axon.stimuli import CurrentClamp
from axon.trees import Tree
from axon.waveforms import pulse


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every command runs in a folder of its own, where small.toml is."""
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def axon(*arguments, **options):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "axon", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def table(text):
    return dict(line.split("  ", 1) for line in text.splitlines())


# run


def test_run_writes_the_field_and_tells_what_it_did(capsys):
    assert main(["run", "small.toml"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    told = {name: text.strip() for name, text in table(out).items()}
    assert told["study"] == "A short axon"
    assert told["compartments"] == "20 in 2 mm"
    assert told["steps"] == "200 of 0.01 ms, crank-nicolson"
    assert told["simulated"] == "2 ms at 6.3 °C"
    assert told["recorded"] == "21 rows of 20 sites, float32"
    assert told["spikes"] == "20"
    assert told["wall time"].endswith(" s")
    assert told["file"] == "small.h5"
    with open_run("small.h5") as run:
        assert run.complete
        assert run.v.shape == (21, 20)


def test_run_prints_the_velocity(capsys):
    assert main(["run", "squid", "--set", "record.every=1"]) == 0
    told = table(capsys.readouterr().out)
    assert told["conduction velocity"].startswith("12.32 m/s (± ")
    assert told["conduction velocity"].endswith(", 500 sites)")


def test_run_tells_that_no_impulse_came(capsys):
    assert main(["run", "small.toml", "--set", "stimuli=[]"]) == 0
    told = table(capsys.readouterr().out)
    assert told["conduction velocity"].startswith("an impulse reached 0 sites")


def test_run_takes_changes_and_an_output(capsys, folder):
    changes = ["simulation.dt=0.02", "axon.length=3 mm"]
    assert main(["run", "small.toml", "-o", "other.h5", "--set", *changes]) == 0
    told = table(capsys.readouterr().out)
    assert told["steps"].strip() == "100 of 0.02 ms, crank-nicolson"
    assert told["compartments"].strip() == "20 in 3 mm"
    assert (folder / "other.h5").exists()
    assert not (folder / "small.h5").exists()


def test_an_output_that_is_there_is_kept_unless_told_otherwise(capsys, folder):
    (folder / "small.h5").write_bytes(b"precious")
    assert main(["run", "small.toml"]) == 73
    assert "small.h5 is there already; " in capsys.readouterr().err
    assert (folder / "small.h5").read_bytes() == b"precious"
    assert main(["run", "small.toml", "--overwrite"]) == 0
    with open_run("small.h5") as run:
        assert run.complete


def test_a_bad_study_is_told_line_by_line_and_nothing_is_written(capsys, folder):
    changes = ["axon.lenght=3", "simulation.dt=1 mm"]
    assert main(["run", "small.toml", "--set", *changes]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "axon run: small.toml: axon.lenght = 3: unknown key; did you mean length?",
        "axon run: small.toml: simulation.dt = '1 mm' cannot be converted to ms; write a number "
        'in ms, or "0.5 ms"',
    ]
    assert os.listdir(folder) == ["small.toml"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["run", "sqid"], 2, "did you mean squid?"),
        (["run", "small.toml", "--set", "simulation.dt"], 2, "simulation.dt=0.01"),
        (["run", "small.toml", "-o", "no/such/folder/out.h5"], 73, "no/such/folder"),
        (["run", "small.toml", "--set", "stimuli[0].waveform.amplitude=1e12"], 3, "diverged"),
        (["info", "none.h5"], 66, "none.h5"),
        (["info", "small.toml"], 66, "small.toml"),
        (["plot", "none.h5"], 66, "none.h5"),
        (["studies", "sqid"], 2, "did you mean squid?"),
    ],
)
def test_errors_have_exit_codes_and_no_traceback(capsys, arguments, code, told):
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"axon {arguments[0]}: ")
    assert told in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["walk"],
        ["run"],
        ["info"],
        ["run", "a", "--sett", "b"],
        ["plot", "a.h5", "-o", "a.gif"],
        ["plot", "a.h5", "--kind", "animation", "-o", "a.png"],
        ["plot", "a.h5", "--kind", "map"],
        ["plot", "a.h5", "--kind", "extracellular"],
        ["plot", "a.h5", "--kind", "spikes", "--positions", "1 mm"],
        ["plot", "a.h5", "--electrode", "0", "0", "1000"],
    ],
)
def test_arguments_that_make_no_sense(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: axon" in capsys.readouterr().err


def test_the_error_of_a_run_that_diverged_is_told(capsys, monkeypatch):
    def diverge(*_, **__):
        raise DivergedError(time=1.5, x=250.0, compartment=2, v=1e9)

    monkeypatch.setattr(study.Study, "run", diverge)
    assert main(["run", "small.toml"]) == 3
    err = capsys.readouterr().err
    assert "t = 1.5 ms" in err
    assert "compartment 2" in err


def test_too_large_an_axon_is_told(capsys, monkeypatch):
    def exhaust(*_, **__):
        raise MemoryError("Unable to allocate 7 TiB")

    monkeypatch.setattr(study.Study, "run", exhaust)
    assert main(["run", "small.toml"]) == 2
    assert "not enough memory: Unable to allocate 7 TiB" in capsys.readouterr().err


def test_an_interrupted_run_ends_with_75(folder):
    long = ["simulation.duration=1e8", "record.every=100"]  # half an hour, if nobody interrupts
    # Tests that run in the background may have been told to ignore it, and so would the process.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "axon", "run", "small.toml", "--set", *long],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    limit = time.monotonic() + 30
    while not (folder / "small.h5.parts").exists() and time.monotonic() < limit:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out) == (75, "")
    told = re.fullmatch(
        r"axon run: stopped at t = ([0-9.e+]+) ms: SIGINT; all up to there is kept, go on with: "
        r"axon resume small\.h5\n",
        err,
    )
    assert told, err
    assert not (folder / "small.h5").exists()
    with open_run("small.h5") as run:
        assert len(run.v) == float(told[1]) // 100 + 1


def test_what_was_stopped_goes_on_and_ends_the_same(capsys, folder):
    """Stopped at once: nothing is there but how it begins."""
    assert main(["run", "small.toml", "--stop-after", "0.000001s"]) == 75
    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        "axon run: stopped at t = 0 ms: its 0.000001s are over; all up to there is kept, go on "
        "with: axon resume small.h5\n",
    )
    assert main(["info", "small.h5"]) == 0
    told = {name: text.strip() for name, text in table(capsys.readouterr().out).items()}
    assert told["so far"].endswith("%, and stopped: axon resume goes on")
    (folder / "small.toml").unlink()  # it isn't needed any more
    assert main(["resume", "small.h5"]) == 0
    told = table(capsys.readouterr().out)
    assert told["recorded"].strip() == "21 rows of 20 sites, float32"
    (folder / "small.toml").write_text(SMALL, encoding="utf-8")
    assert main(["run", "small.toml", "-o", "whole.h5"]) == 0
    assert (folder / "small.h5").read_bytes() == (folder / "whole.h5").read_bytes()


def test_a_run_is_made_longer(out, folder):
    assert main(["resume", out, "--until", "3 ms"]) == 0
    assert main(["run", "small.toml", "--set", "simulation.duration=3 ms"]) == 0
    assert (folder / out).read_bytes() == (folder / "small.h5").read_bytes()
    assert main(["resume", out, "--until", "2.5"]) == 2


def test_run_may_be_given_again_till_it_is_done(capsys, folder):
    again = ["run", "small.toml", "--resume"]
    assert main([*again, "--stop-after", "0.000001"]) == 75
    assert main(again) == 0
    before = (folder / "small.h5").read_bytes()
    assert main(again) == 0
    assert (folder / "small.h5").read_bytes() == before
    capsys.readouterr()
    assert main([*again, "--set", "simulation.celsius=7"]) == 2
    assert "axon run: simulation.celsius: 6.3 there, 7" in capsys.readouterr().err
    assert (folder / "small.h5").read_bytes() == before


def test_a_dry_run_tells_what_it_would_take_and_writes_nothing(capsys, folder):
    assert main(["run", "small.toml", "--dry-run"]) == 0
    told = {name: text.strip() for name, text in table(capsys.readouterr().out).items()}
    assert told["steps"] == "200 of 0.01 ms, crank-nicolson"
    assert told["recorded"] == "21 rows of 20 sites, 1.68 kB"
    assert told["on disk"].startswith("up to ") and told["on disk"].endswith(" are free")
    assert told["memory"].endswith(" MB") and told["wall time"].startswith("about ")
    assert os.listdir(folder) == ["small.toml"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["resume", "none.h5"], 66, "there is no run none.h5"),
        (["resume", "small.toml"], 66, "it is no HDF5 file"),
        (["run", "small.toml", "--stop-after", "soon"], 2, "stop_after='soon' is no span of time"),
    ],
)
def test_what_cannot_go_on(capsys, arguments, code, told):
    assert main(arguments) == code
    assert told in capsys.readouterr().err


def test_a_full_disk_ends_with_75_and_goes_on_later(capsys, monkeypatch, folder):
    monkeypatch.setattr(storage, "PATIENCE", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(segments, "free_bytes", lambda _: 0)
        assert main(["run", "small.toml"]) == 75
    assert "and only 0 MB are free" in capsys.readouterr().err
    assert main(["resume", "small.h5"]) == 0
    with open_run("small.h5") as run:
        assert run.complete


def test_another_command_that_is_interrupted_ends_with_130(monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "names", interrupt)
    assert main(["studies"]) == 130
    assert capsys.readouterr().err == "axon studies: interrupted\n"


# Progress


def test_progress_is_drawn_over_itself(monkeypatch):
    now = iter([100.0, 110.0, 290.0])
    monkeypatch.setattr(cli.time, "monotonic", lambda: next(now))
    terminal = io.StringIO()
    bar = cli._Bar(terminal)
    bar.of_run(0.1, 5.0)  # where it goes on
    bar.of_run(0.2, 10.0)
    bar.of_run(0.5, 25.0)
    bar.clear()
    first, second, third, last = terminal.getvalue().split("\r")[1:]
    assert first == "###" + 27 * "." + "  10%  5 ms  ? left\x1b[K"
    assert second == 6 * "#" + 24 * "." + "  20%  10 ms  0:01:20 left\x1b[K"
    assert third == 15 * "#" + 15 * "." + "  50%  25 ms  0:03:58 left\x1b[K"
    assert last == "\x1b[K"


def test_progress_is_for_terminals_alone():
    assert axon("run", "small.toml").stderr == ""
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as terminal:
        result = subprocess.run(
            [sys.executable, "-m", "axon", "run", "small.toml", "--overwrite"],
            stdout=subprocess.PIPE,
            stderr=theirs,
            timeout=60,
        )
        os.close(theirs)
        assert result.returncode == 0
        drawn = terminal.read(4096)
    assert b"100%  2 ms" in drawn
    assert drawn.endswith(b"\r\x1b[K")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2134, "0.21 s"), (12.3, "12 s"), (60, "0:01:00"), (12_345, "3:25:45"), (0, "0 s")],
)
def test_how_long_it_took(seconds, text):
    assert cli._span(seconds) == text


# info, plot, studies, models


@pytest.fixture
def out(capsys):
    main(["run", "small.toml", "-o", "out.h5"])
    capsys.readouterr()
    return "out.h5"


def test_info_tells_what_is_in_a_file(out, capsys):
    assert main(["info", out]) == 0
    told = {name: text.strip() for name, text in table(capsys.readouterr().out).items()}
    assert told["study"] == "A short axon"
    assert told["recorded"] == "21 rows of 20 sites, float32"
    assert told["file"] == "out.h5"
    assert "wall time" not in told


def test_a_temperature_may_vary_along_the_axon(capsys):
    celsius = [6.3] * 10 + [18.5] * 10
    assert main(["run", "small.toml", "--set", f"simulation.celsius={celsius}"]) == 0
    told = table(capsys.readouterr().out)
    assert told["simulated"].strip() == "2 ms at 6.3 to 18.5 °C"


def test_changes_are_told(capsys):
    changes = "changes=[{at = 0.5, celsius = 10.0}, {at = 1.0, celsius = 6.3}]"
    assert main(["run", "small.toml", "--set", changes]) == 0
    assert table(capsys.readouterr().out)["changed"].strip() == "at 0.5 ms, at 1 ms"


def test_info_for_programs(out, capsys):
    assert main(["info", out, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    velocity = facts.pop("velocity")
    assert velocity["n_sites"] == 18
    assert velocity["value"] > 0
    facts.pop("version")
    assert facts == {
        "title": "A short axon",
        "complete": True,
        "progress": 1.0,
        "going_on": False,
        "seconds_left": None,
        "compartments": 20,
        "branches": 1,
        "length": 2000.0,
        "duration": 2.0,
        "dt": 0.01,
        "steps": 200,
        "method": "crank-nicolson",
        "celsius": 6.3,
        "changes": [],
        "rows": 21,
        "sites": 20,
        "electrodes": 0,
        "dtype": "float32",
        "spikes": 20,
        "action_potential": None,
    }


def test_the_shape_of_an_impulse_is_told_if_the_study_measures_it(capsys):
    shape = "measure.action_potential={at = 1000}"
    assert main(["run", "small.toml", "--set", shape]) == 0
    told = table(capsys.readouterr().out)["action potential"].strip()
    with open_run("small.h5") as run:
        measured = action_potential(run, 1000.0)
    assert told.startswith(f"{measured.amplitude:.4g} mV from {measured.rest:.4g} mV")
    assert main(["info", "small.h5", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["action_potential"]["peak"] == measured.peak


def test_a_terminal_that_knows_no_greek_is_told_all_the_same():
    script = "import sys; from axon.cli import main; sys.exit(main(['studies', 'squid']))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert b"[membrane]" in done.stdout


def test_info_has_null_for_a_velocity_that_is_not_known(capsys):
    main(["run", "small.toml", "--set", "stimuli=[]"])
    capsys.readouterr()
    main(["info", "small.h5", "--json"])
    assert json.loads(capsys.readouterr().out)["velocity"] is None


def test_plot_writes_a_picture(out, capsys, folder):
    assert main(["plot", out]) == 0
    assert capsys.readouterr().out == "out.png\n"
    assert (folder / "out.png").read_bytes().startswith(b"\x89PNG")


def test_plot_takes_positions_and_a_name(out, folder, monkeypatch):
    drawn = []
    overview = plots.overview

    def listening(run, positions):
        drawn.append(positions)
        return overview(run, positions)

    monkeypatch.setattr(plots, "overview", listening)
    assert main(["plot", out, "-o", "a.svg", "--positions", "1 mm", "250"]) == 0
    assert drawn == [["1 mm", 250.0]]
    assert b"<svg" in (folder / "a.svg").read_bytes()


ELECTRODES = ["--electrode", "1 mm", "0", "500", "--electrode", "0", "0", "1 mm"]


@pytest.mark.parametrize(
    ("kind", "options", "labels"),
    [
        ("space-time", [], ("time (ms)", "position (mm)")),
        ("traces", ["--positions", "1 mm", "250"], ("time (ms)", "membrane potential (mV)")),
        ("waterfall", ["--positions", "1 mm", "250"], ("time (ms)", "position (mm)")),
        ("snapshots", ["--times", "1", "1.5 ms"], ("position (mm)", "membrane potential (mV)")),
        ("spikes", [], ("time (ms)", "position (mm)")),
        ("velocity", ["--window", "1 mm"], ("position (mm)", "conduction velocity (m/s)")),
        ("extracellular", ELECTRODES, ("time (ms)", "potential outside (µV)")),
    ],
)
def test_plot_draws_every_kind(out, capsys, folder, monkeypatch, kind, options, labels):
    drawn = []
    name = kind.replace("-", "_")
    draw = getattr(plots, name)
    monkeypatch.setattr(plots, name, lambda *a, **k: drawn.append(draw(*a, **k)) or drawn[0])
    assert main(["plot", out, "--kind", kind, *options]) == 0
    assert capsys.readouterr().out == f"out-{kind}.png\n"
    assert (folder / f"out-{kind}.png").read_bytes().startswith(b"\x89PNG")
    (ax,) = drawn
    assert (ax.get_xlabel(), ax.get_ylabel()) == labels
    if options and kind != "velocity":
        assert len(ax.get_legend_handles_labels()[0] or ax.get_lines()[:-1]) == 2  # not by default


@pytest.mark.parametrize("where", [[], ["--at", "0.5 mm"]])
def test_plot_looks_at_the_membrane_of_a_place(folder, capsys, where):
    longer = ["--set", "simulation.duration=12.0"]
    assert main(["run", "small.toml", "-o", "long.h5", *longer]) == 0
    for kind in ("membrane-currents", "excitability"):
        assert main(["plot", "long.h5", "--kind", kind, *where]) == 0
        assert (folder / f"long-{kind}.png").read_bytes().startswith(b"\x89PNG")


def test_plot_knows_the_tissue_of_its_electrodes(out, monkeypatch):
    asked = []
    monkeypatch.setattr(plots, "extracellular", lambda _, sources: asked.extend(sources) or figure)
    figure = plots.drawing.new_figure()
    command = ["plot", out, "--kind", "extracellular", *ELECTRODES]
    assert main([*command, "--sigma", "2"]) == main(command) == 0
    assert [(s.x, s.y, s.z, s.sigma[0]) for s in asked] == [
        (1e3, 0.0, 500.0, 2.0), (0.0, 0.0, 1e3, 2.0), (1e3, 0.0, 500.0, 0.3), (0.0, 0.0, 1e3, 0.3)
    ]  # fmt: skip


def test_plot_animates(out, capsys, folder):
    assert main(["plot", out, "--kind", "animation", "--start", "1", "--stop", "1.2 ms"]) == 0
    assert capsys.readouterr().out == "out-animation.gif\n"
    assert (folder / "out-animation.gif").read_bytes().startswith(b"GIF89a")


@pytest.fixture
def arbor(folder):
    """The file of a run along an axon that branches."""
    tree = Tree.regular("1 mm", 2.0, 1, dx=50.0)
    tree = tree.branch(Axon.cylinder("0.5 mm", 1.0, dx=50.0), (1, 0.0), "side")
    clamp = CurrentClamp(0.0, pulse(1.0, 0.5, 0.5))
    simulation = Simulation(tree, models.hodgkin_huxley(), [clamp], dt=0.02)
    simulation.run(15.0, every=0.1, output="arbor.h5")
    return "arbor.h5"


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ([], {"colour": "arrival"}),
        (["--time", "2 ms"], {"colour": "potential", "time": "2 ms"}),
        (
            ["--colour", "failure", "--view", "dendrogram"],
            {"colour": "failure", "view": "dendrogram"},
        ),
    ],
)
def test_plot_draws_trees(arbor, capsys, folder, monkeypatch, options, asked):
    given = []
    draw = plots.tree
    monkeypatch.setattr(plots, "tree", lambda run, **k: given.append(k) or draw(run, **k))
    assert main(["plot", arbor, "--kind", "tree", *options]) == 0
    assert capsys.readouterr().out == "arbor-tree.png\n"
    assert given == [asked]
    assert (folder / "arbor-tree.png").read_bytes().startswith(b"\x89PNG")


def test_plot_animates_trees(arbor, capsys, folder):
    options = ["--start", "1", "--stop", "1.5", "--view", "dendrogram"]
    assert main(["plot", arbor, "--kind", "tree-animation", *options]) == 0
    assert capsys.readouterr().out == "arbor-tree-animation.gif\n"
    assert (folder / "arbor-tree-animation.gif").read_bytes().startswith(b"GIF89a")


def test_positions_and_ways_may_be_on_branches(arbor, monkeypatch):
    given = []
    draw = plots.traces
    monkeypatch.setattr(plots, "traces", lambda run, **k: given.append(k) or draw(run, **k))
    places = ["--positions", "100", "1:0.2 mm", "side:250"]
    assert main(["plot", arbor, "--kind", "traces", *places]) == 0
    assert main(["plot", arbor, "--kind", "traces", "--way", "0", "side:250"]) == 0
    assert given == [
        {"positions": [100.0, (1, "0.2 mm"), ("side", 250.0)]},
        {"way": [0.0, ("side", 250.0)]},
    ]
    for kind in ("overview", "space-time", "waterfall", "snapshots", "spikes", "velocity"):
        assert main(["plot", arbor, "--kind", kind, "--way", "0", "side:250"]) == 0
    for kind in ("membrane-currents", "excitability"):
        assert main(["plot", arbor, "--kind", kind, "--at", "side:250"]) == 0
        assert main(["plot", arbor, "--kind", kind]) == 0
    assert main(["plot", arbor, "--kind", "traces", "--positions", "leaf:250"]) == 2


def test_report_looks_at_a_place_on_a_branch(arbor, capsys):
    assert main(["report", arbor, "--at", "side:250", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["branch"], facts["branches"]["tips_reached"]) == (3, 3)


def test_every_kind_of_picture_is_documented():
    page = os.path.join(os.path.dirname(__file__), "..", "docs", "pictures.md")
    with open(page, encoding="utf-8") as file:
        text = file.read()
    for kind, options in cli._KINDS.items():
        assert f"`{kind}`" in text
        assert all(f"`--{option}" in text for option in options)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--positions", "1 ms"], 2, "'1 ms' cannot be converted to um"),
        (["--positions", "1 m"], 2, "position = 1000000.0 um is not on the axon"),
        (["-o", "no/such/a.png"], 73, "no/such/a.png: cannot be written"),
        (["--kind", "snapshots", "--times", "3"], 2, "times = 3 ms is not recorded"),
        (["--kind", "velocity", "--window", "1 m"], 2, "window = 1e+06 µm"),
        (["--kind", "extracellular", "--electrode", "a", "0", "0"], 2, "x = 'a'"),
        (["--kind", "animation", "--start", "1", "--stop", "1"], 2, "start = 1 ms is not before"),
        (["--kind", "animation", "-o", "no/such/a.gif"], 73, "no/such/a.gif: cannot be written"),
    ],
)
def test_plots_that_cannot_be(out, capsys, arguments, code, told):
    assert main(["plot", out, *arguments]) == code
    err = capsys.readouterr().err
    assert err.startswith("axon plot: ") and told in err


def test_silent_runs_have_no_impulses_to_draw(capsys):
    main(["run", "small.toml", "--set", "stimuli=[]"])
    capsys.readouterr()
    for kind, told in (("spikes", "no impulse to draw"), ("velocity", "of 0 sites")):
        assert main(["plot", "small.h5", "--kind", kind]) == 2
        assert told in capsys.readouterr().err


def test_plot_without_matplotlib(out, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["plot", out]) == 69
    assert "pip install 'axon-cable[plot]'" in capsys.readouterr().err


def test_ask_answers_as_the_library_does(capsys):
    assert main(["ask", "small.toml", "threshold", "at=1 mm", "tolerance=0.1"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and " runs)" in out
    asked = ["ask", "small.toml", "threshold", "at=1 mm", "--json", "--set", "simulation.dt=0.02"]
    assert main(asked) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["below"] < facts["value"] and facts["trials"][0]["factor"] == 0.0


def test_a_terminal_is_told_each_trial(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["ask", "small.toml", "threshold", "at=1 mm", "tolerance=0.1"]) == 0
    told = terminal.getvalue().splitlines()
    assert told[0] == "0: there was no spike" and "arrived at" in told[1]


def test_an_answer_is_drawn(folder, capsys):
    question = ["ask", "small.toml", "strength_duration", "durations=[0.1, 0.5]", "at=1 mm"]
    assert main([*question, "tolerance=0.1", "--plot", "curve.png"]) == 0
    assert (folder / "curve.png").read_bytes()[:4] == b"\x89PNG"
    assert "rheobase" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["ask", "small.toml", "threshold", "--plot", "curve.png"])


def test_questions_that_cannot_be(capsys):
    assert main(["ask", "small.toml", "how fast"]) == 2
    assert "is no question" in capsys.readouterr().err
    assert main(["ask", "nowhere.toml", "threshold"]) == 2


def test_report_tells_the_story(out, capsys):
    assert main(["report", out]) == 0
    text = capsys.readouterr().out
    assert text.startswith("A short axon\n============\n")
    assert "All ionic currents together" in text
    assert main(["report", out, "--at", "0.5 mm", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["x_um"] == pytest.approx(500.0, abs=50.0)


def test_report_writes_a_page(out, capsys, folder):
    assert main(["report", out, "--html", "story.html"]) == 0
    assert capsys.readouterr().out == "story.html\n"
    assert (folder / "story.html").read_text("utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--at", "1 ms"], 2), (["--html", "no/such/a.html"], 73)],
)
def test_reports_that_cannot_be(out, capsys, arguments, code):
    assert main(["report", out, *arguments]) == code
    assert capsys.readouterr().err.startswith("axon report: ")
    assert main(["report", "none.h5"]) == 66


def test_studies_are_listed_and_printed(capsys, folder):
    assert main(["studies"]) == 0
    listed = table(capsys.readouterr().out)
    assert {"squid", "squid-warm", "rallpack1"} <= {name.strip() for name in listed}
    assert main(["studies", "squid"]) == 0
    printed = capsys.readouterr().out
    # What is printed is a study, which one may change and run.
    (folder / "mine.toml").write_text(printed, encoding="utf-8")
    assert study.load("mine.toml").title == study.title("squid")


def test_models_are_listed(capsys):
    assert main(["models"]) == 0
    listed = table(capsys.readouterr().out)
    assert "Squid giant axon" in listed["hodgkin_huxley"]


# Standard output, and what is imported


def test_a_reader_that_has_seen_enough_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-m", "axon", "studies"],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
def test_output_that_cannot_be_written_is_an_error():
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "axon", "models"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert result.returncode == 73
    assert result.stderr.startswith(b"axon models: cannot write: ")
    assert len(result.stderr.splitlines()) == 1


def test_help_tells_the_exit_codes_that_the_documentation_tells():
    text = " ".join(axon("--help").stdout.split())
    page = os.path.join(os.path.dirname(__file__), "..", "docs", "command-line.md")
    with open(page, encoding="utf-8") as file:
        documentation = file.read()
    for code in cli.Exit:
        assert f"{code:d} {code.meaning}" in text
        assert f"| {code:d} | {code.meaning} |" in documentation


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"axon {__version__}\n"


def test_the_command_line_imports_nothing_heavy():
    code = (
        "import sys, axon.cli\n"
        "heavy = {'numpy', 'h5py', 'matplotlib', 'pint', 'tomllib'}\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("\n", "")
