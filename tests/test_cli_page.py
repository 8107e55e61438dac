"""The page of a run: its numbers are those of the run's files, and text of others stays text."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from page_runs import EXPERIMENT, HISTORY, INPUTS, SHAPES, Read, at, says, small_run
from road import Bitwright
from vendor_reports import PROJECT, SYN, csynth_rpt, csynth_xml, write

from bitwright.cli.page import write_page
from bitwright.cli.page_hardware import hardware
from bitwright.cli.page_layers import measurable
from bitwright.cli.run_folder import RunFolder, digest
from bitwright.cli.stage_export import load_program
from bitwright.cli.stage_hls import judge
from bitwright.quant.fixed_point import parse_ap_fixed

HOSTILE = "<img src=x onerror=alert(1)>\"'&"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that tests only read."""
    return small_run(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture
def small(tmp_path: Path) -> RunFolder:
    """A run that a test may change."""
    return small_run(tmp_path / "small")


def page(run: RunFolder) -> Read:
    """Write the page and read it."""
    return Read(source=write_page(run).read_text())


def layers(found: Read) -> dict[str, dict[str, object]]:
    """Layers of the page's JSON by name."""
    return {layer["name"]: layer for layer in found.json["network"]["layers"]}


def test_every_number_shown_is_the_embedded_one(made: RunFolder) -> None:
    found = page(made)
    assert [(path, text) for path, text in found.shown if not says(text, at(found.json, path))] == []
    assert len({path for path, _ in found.shown}) > 150


def test_every_chart_has_a_name_in_words(made: RunFolder) -> None:
    source = page(made).source
    charts = re.findall(r"<svg [^>]*aria-label=\"([^\"]+)\">\s*<title>([^<]+)</title>", source)
    assert len(charts) == source.count("<svg ") == 2 + 1 + len(load_program(made).operations) + len(SHAPES)


def test_verdict_is_that_of_the_file(made: RunFolder) -> None:
    wanted = json.loads(made.verification.read_text())
    verdict = page(made).json["verdict"]
    assert (verdict["exact"], verdict["test_set"]) == (True, INPUTS) == (wanted["exact"], wanted["test_set"])
    assert {level.pop("name"): level for level in verdict["levels"]} == wanted["levels"]


def test_verdict_says_where_integers_differ(small: RunFolder) -> None:
    levels = json.loads(small.verification.read_text())
    levels["levels"]["program"]["different"] = 3
    small.verification.write_text(json.dumps(levels))
    found = page(small)
    assert "Not exact: some integers differ" in found.text
    assert ("verdict.levels.1.different", "3") in found.shown


def test_training_is_that_of_the_metrics(made: RunFolder) -> None:
    found = page(made)
    training, history = found.json["training"], [{**epoch, "epoch": epoch["epoch"] + 1} for epoch in HISTORY]
    assert (training["best_epoch"], training["validation_accuracy"], training["history"]) == (2, 0.84375, history)
    assert ("training.best_epoch", "2") in found.shown


def test_training_without_an_end_is_read_from_its_log(small: RunFolder) -> None:
    small.metrics.unlink()
    log = small.path / "training" / "csv" / "version_0" / "metrics.csv"
    log.parent.mkdir(parents=True)
    log.write_text("epoch,step,train_loss,validation_accuracy,validation_loss\n0,9,,0.25,1.5\n0,9,2.5,,\n")
    training = page(small).json["training"]
    epoch = {"epoch": 1, "train_loss": 2.5, "validation_loss": 1.5, "validation_accuracy": 0.25}
    assert (training["history"], training["best_epoch"]) == ([epoch], None)


@pytest.mark.parametrize("name", SHAPES)
def test_histogram_counts_every_weight_on_its_grid(name: str, made: RunFolder) -> None:
    codes = next(o for o in load_program(made).operations if o.name == name).weight  # type: ignore[attr-defined]
    weights = layers(page(made))[name]["weights"]
    assert isinstance(weights, dict)
    assert codes.shape == SHAPES[name]
    found = {one["lowest"]: one["count"] for one in weights["bins"] if one["count"]}
    assert found == dict(zip(*(part.tolist() for part in np.unique(codes, return_counts=True)), strict=True))
    assert weights["count"] == np.prod(SHAPES[name]) == sum(found.values())
    assert [one["lowest"] for one in weights["bins"]] == ([-1, 1] if name in ("fc2", "out") else list(range(-4, 4)))


def test_spans_are_those_of_types_proof_and_inputs(made: RunFolder) -> None:
    program, proven = load_program(made), tomllib.loads(made.precision.read_text())
    found = layers(page(made))
    for name, codes in program.trace(np.load(made.inputs)):
        values = found[name]["values"]
        assert isinstance(values, dict)
        assert values["measured"] == {"lowest": codes.min(), "highest": codes.max()}
        assert list(values["proven"].values()) == proven[name]["interval"]
        assert values["type"] == proven[name]["result"]
        form = None if values["type"] == "xnor" else parse_ap_fixed(values["type"])
        ends = (form.lowest, form.highest) if form else (-1, 1)
        assert tuple(values["holds"].values()) == ends
        if values["at_lowest"] is not None:
            assert (values["at_lowest"], values["at_highest"]) == tuple((codes == end).mean() for end in ends)


def test_cost_is_counted_by_hand(made: RunFolder) -> None:
    cost = {name: layer["cost"] for name, layer in layers(page(made)).items() if name in SHAPES}
    wanted = {"conv": (4 * 12, "3 x 4", 12 * 3), "fc1": (60, "3 x 3", 60 * 3), "fc2": (25, "1 x 4", 25)}
    wanted["out"] = (20, "1 x 1", 20)
    keys = ("multiplications", "operands", "weight_bits")
    assert {name: tuple(one[key] for key in keys) for name, one in cost.items()} == wanted  # type: ignore[index]


def test_accumulator_given_is_the_one_asked_for(small: RunFolder) -> None:
    before = layers(page(small))["fc1"]["accumulator"]
    assert isinstance(before, dict)
    needed = tomllib.loads(small.precision.read_text())["fc1"]["accumulator"]
    form = parse_ap_fixed(needed)
    wider = f"ap_fixed<{form.width + 2},{form.integer + 2}>"
    small.precision.write_text(
        small.precision.read_text().replace(f'accumulator = "{needed}"', f'accumulator = "{wider}"')
    )
    bits = {"needed_type": needed, "needed_bits": form.width}
    assert before == {**bits, "given_type": needed, "given_bits": form.width}
    assert layers(page(small))["fc1"]["accumulator"] == {**bits, "given_type": wider, "given_bits": form.width + 2}


def test_join_is_drawn_with_both_its_edges(made: RunFolder) -> None:
    found = page(made)
    edges = sum(len(layer["sources"]) for layer in found.json["network"]["layers"])
    assert found.source.count('class="edge"') == edges == len(load_program(made).operations)
    assert found.source.count(' join"') == 1


def test_large_networks_are_seen_on_few_inputs(made: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    program = load_program(made)
    assert measurable(program) == 500
    monkeypatch.setattr("bitwright.cli.page_layers.MOST_PRODUCTS", 1000)
    assert measurable(program) == 1000 // (48 + 60 + 25 + 20)
    assert page(made).json["network"]["measured_inputs"] == 1000 // (48 + 60 + 25 + 20)


def test_hardware_stands_by_stage_and_tool(small: RunFolder) -> None:
    write(
        small.project, {**PROJECT, f"{SYN}/net_csynth.xml": csynth_xml("2024.1"), f"{SYN}/net_csynth.rpt": csynth_rpt()}
    )
    cells = {"lut6": 7, "lut": 12, "ff": 3}
    facts = {"stage": "synthesis (yosys)", "tool": "Yosys 0.70", "family": "xc7", "cells": cells, "key": "ab"}
    for name, content in {"rtl/design.json": {"latency_cycles": 4}, "synth/xc7/yosys.json": facts}.items():
        (small.path / name).parent.mkdir(parents=True, exist_ok=True)
        (small.path / name).write_text(json.dumps(content))
    found = page(small)
    stages = found.json["stages"]
    assert [(stage["title"], stage["tool"]) for stage in stages] == [
        ("C synthesis", "Vitis HLS 2024.1"),
        ("RTL, before synthesis", "alkaid"),
        ("synthesis (yosys)", "Yosys 0.70"),
    ]
    assert [stages[0]["figures"][name] for name in ("lut", "latency_max_cycles")] == [2100, 12]
    assert (stages[1]["figures"], stages[2]["figures"]) == ({"latency_cycles": 4}, cells)
    assert {("stages.0.figures.lut", "2,100"), ("stages.2.figures.lut6", "7")} <= set(found.shown)
    assert [one["command"] for one in found.json["absent"]] == [
        "bitwright synth small --cosim",
        "bitwright synth small --vsynth",
        "bitwright synth small --place-and-route",
    ]


@pytest.mark.parametrize(
    ("stage", "left"),
    [("project", ["RTL, before synthesis", "synthesis (yosys)"]), ("rtl_design", ["C synthesis", "export (vivado)"])],
)
def test_figures_of_another_program_are_left_out(stage: str, left: list[str], small: RunFolder) -> None:
    write(small.project, {**PROJECT, f"{SYN}/net_csynth.xml": csynth_xml("2024.1")})
    files = {
        "rtl/design.json": {"latency_cycles": 4},
        "synth/xc7/yosys.json": {"stage": "synthesis (yosys)", "lut": 12},
        "synth/vendor/export.json": {"stage": "export (vivado)", "seconds": 3},
    }
    write(small.path, {name: json.dumps(content) for name, content in files.items()})
    own, other = digest(small.lowered), digest(small.interface)
    for program, titles in ((own, 4), (other, 2)):
        small.finish(stage, "key", 0.0, program=program)
        found = [one["title"] for one in page(small).json["stages"]]
        assert len(found) == titles
    assert found == left
    small.lowered.unlink()
    assert [one.title for one in hardware(small, "small").stages] == left


def test_text_of_others_stays_text(tmp_path: Path) -> None:
    run = small_run(tmp_path / HOSTILE)
    (run.path / "experiment.toml").write_text(f"{EXPERIMENT}# {HOSTILE}</pre></script><script>alert(2)</script>\n")
    (run.path / "synth" / "a").mkdir(parents=True)
    facts = {"stage": HOSTILE, "tool": "</script><script>", HOSTILE: 1, "word": HOSTILE, "deep": {"a.b": 2}}
    (run.path / "synth" / "a" / "b.json").write_text(json.dumps(facts))
    verdict = json.loads(run.verification.read_text())
    verdict |= {"undecided": {HOSTILE: 0.25}, "levels": {HOSTILE: verdict["levels"]["torch"]}}
    run.verification.write_text(json.dumps(verdict))
    found = page(run)
    assert {"img", "script"} & set(found.tags) == {"script"}
    assert found.tags.count("script") == 1
    assert not [name for name in found.names if name.startswith("on") or name in ("src", "href", "style")]
    assert found.text.count(HOSTILE) >= 6
    assert [(path, text) for path, text in found.shown if not says(text, at(found.json, path))] == []
    assert found.json["commands"][0] == "bitwright train '<img src=x onerror=alert(1)>\"'\"'\"'&.toml'"


def test_page_asks_nothing_of_the_network_and_names_no_machine(made: RunFolder) -> None:
    source = page(made).source
    assert not re.search(r"https?://|\bsrc=|\bhref=|@import|url\((?!#)", source)
    assert str(made.path) not in source
    assert source.isascii()


def test_empty_folder_gives_a_page_too(tmp_path: Path) -> None:
    found = page(RunFolder(tmp_path))
    assert [found.json[part] for part in ("verdict", "training", "network", "experiment")] == [None] * 4
    assert "Not compared yet" in found.text
    assert "Not lowered yet" in found.text
    assert found.json["absent"][0]["command"] == f"bitwright hls {tmp_path.name}"
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]


def test_folder_of_convert_has_no_training_and_no_labels(small: RunFolder) -> None:
    for path in (small.metrics, small.labels, small.path / "experiment.toml", small.inputs):
        path.unlink()
    small.qonnx.write_bytes(b"")
    verdict = json.loads(small.verification.read_text())
    for level in verdict["levels"].values():
        level["accuracy"] = None
    small.verification.write_text(json.dumps(verdict))
    found = page(small)
    assert (found.json["training"], found.json["network"]["measured_inputs"]) == (None, 0)
    assert ("verdict.levels.0.accuracy", "-") in found.shown
    assert found.json["commands"] == ["bitwright convert small/model.qonnx.onnx --out again"]


DAMAGED = {
    "verification.json": "verification.json: verdict must be as `bitwright verify` wrote it, not changed; run it again",
    "metrics.json": "metrics.json: metrics must be as `bitwright train` wrote them, not changed; train again",
    "inputs.npy": "inputs.npy: file must be an array of NumPy, not damaged; delete it and export again",
    "rtl/design.json": "rtl/design.json: figures must be as the command wrote them, not damaged; "
    "delete the folder and run again",
    "training/csv/version_3/metrics.csv": "training/csv/version_3/metrics.csv: log must be as Lightning wrote it, "
    "not changed; train again",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_part_is_named_and_the_others_stay(name: str, small: RunFolder) -> None:
    path = small.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        small.metrics.unlink()
    path.write_text("epoch\nx\n")
    found = page(small)
    assert found.json["problems"] == [DAMAGED[name]]
    assert DAMAGED[name] in found.text
    assert found.json["network"]["weights"] == 12 + 60 + 25 + 20


def test_inputs_of_another_program_leave_the_network(small: RunFolder) -> None:
    np.save(small.inputs, np.zeros((3, 2), np.int64))
    found = page(small)
    assert found.json["problems"] == ["inputs.npy: inputs must be of this program, not of another; export again"]
    assert found.json["network"]["measured_inputs"] == 0


def test_damaged_program_is_a_problem_of_the_page(small: RunFolder) -> None:
    small.lowered.write_bytes(b"no graph")
    found = page(small)
    assert found.json["network"] is None
    (problem,) = found.json["problems"]
    assert problem.startswith("model.lowered.onnx: ")


def test_narrowed_type_is_a_problem_of_the_page(small: RunFolder) -> None:
    needed = tomllib.loads(small.precision.read_text())["conv"]["accumulator"]
    small.precision.write_text(small.precision.read_text().replace(needed, "ap_fixed<4,4>"))
    (problem,) = page(small).json["problems"]
    assert problem.startswith("precision.toml: conv.accumulator: type must hold ")
    assert problem.endswith(f"not ap_fixed<4,4>; at least {needed} is needed")


def test_page_is_replaced_whole_or_not_at_all(small: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_page(small).read_bytes()
    small.metrics.unlink()

    def full(*_: object) -> None:
        raise OSError("full")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match=r"^full$"):
            write_page(small)
    assert small.page.read_bytes() == first
    assert write_page(small).read_bytes() != first


def test_command_writes_the_page_of_a_run(small: RunFolder, bitwright: Bitwright) -> None:
    outcome = bitwright("page", small.path)
    assert (outcome.status, outcome.out, outcome.err) == (0, f"page     {small.page}\n", "")
    assert Read(source=small.page.read_text()).json["name"] == "small"


def test_commands_that_judge_write_the_page(
    small: RunFolder, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = judge(small)
    monkeypatch.setattr("bitwright.cli.stage_hls.hls", lambda *_: verdict)
    monkeypatch.setattr("bitwright.cli.stage_convert.convert", lambda *_, **__: (small, verdict))
    monkeypatch.setattr("bitwright.cli.stage_rtl.rtl", lambda *_, **__: (None, verdict))
    monkeypatch.setattr("bitwright.cli.stage_rtl.show", lambda *_: None)
    for arguments in (("hls", small.path), ("convert", "m.onnx", "--out", small.path), ("rtl", small.path)):
        small.page.unlink(missing_ok=True)
        outcome = bitwright(*arguments)
        assert (outcome.status, outcome.err) == (0, "")
        assert outcome.out.endswith(f"page     {small.page}\n")
        assert small.page.is_file()


def test_missing_run_is_refused(tmp_path: Path, bitwright: Bitwright) -> None:
    (tmp_path / "a.toml").write_text("")
    outcome = bitwright("page", tmp_path / "a.toml", "--runs-dir", tmp_path / "runs")
    message = f"{tmp_path / 'runs' / 'a'}: run must be a folder, not missing; run `bitwright train` first\n"
    assert (outcome.status, outcome.out, outcome.err) == (2, "", message)
