"""The benchmarks: they run, they say what they measured, and no figure of theirs is asserted."""

import itertools
import json
import re
import statistics
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.command import Request, parse, run
from benchmarks.config import SINGLE_TASKS, SINGLES, Config
from benchmarks.floor import Shapes, count_shapes
from benchmarks.peers import PEERS
from benchmarks.peers.recipe import Classifier, PaddedClassifier, collate, make_classifier
from benchmarks.peers.seqclf_fit import SeqclfFit, make_dataset
from benchmarks.products import rows_times, sums_of_products
from benchmarks.report import render
from benchmarks.scale import measure_size, sizes_up_to, with_exponents
from benchmarks.suites import BATCH_SIZES, core, full, quick
from benchmarks.summary import percentile
from benchmarks.work import make_work

ABSENT = "no_package_has_this_name"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the quick suite once, with a peer that is not installed and one that breaks."""
    folder = tmp_path_factory.mktemp("benchmarks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PEERS, "skorch", replace(PEERS["skorch"], packages=(ABSENT,)))
        patch.setitem(PEERS, "tutorial", replace(PEERS["tutorial"], name="NoSuchClass", batch_sizes=(64,)))
        run(Request("quick", ("seqclf", "hand-written", "skorch", "tutorial"), rounds=1), folder)
    return folder


@pytest.fixture(scope="module")
def results(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "results.json").read_text(encoding="utf-8"))
    return found


def seconds_of(results: dict[str, Any], row: dict[str, Any], peer: str) -> float:
    measurement = next(one for one in results["measurements"] if one["config"]["title"] == row["title"])
    found: list[float] = measurement["peers"][peer]["tasks"][row["task"]]["seconds"]
    return statistics.median(found[1:])


def test_every_point_and_task_has_a_row(results: dict[str, Any]) -> None:
    assert [(row["title"], row["task"]) for row in results["rows"]] == [
        (config.title, task) for config in quick() for task in config.tasks
    ]
    assert all(set(row["peers"]) == {"seqclf", "hand-written"} for row in results["rows"])
    assert results["machine"]["cpu"]
    assert results["machine"]["versions"]["torch"]


def test_all_peers_do_the_same_work(results: dict[str, Any]) -> None:
    for row in results["rows"]:
        one, other = row["peers"].values()
        assert one["sequences"] == other["sequences"] > 0
    for measurement in results["measurements"]:
        ready = [peer["ready"] for peer in measurement["peers"].values() if peer["ready"]]
        assert len({(one["sequences"], one["steps"]) for one in ready}) == 1


def test_every_peer_trains_and_predicts(results: dict[str, Any]) -> None:
    for row in results["rows"]:
        for figures in row["peers"].values():
            if row["task"] == "train":
                assert figures["losses"][1] < figures["losses"][0]
            else:
                assert 0 < figures["accuracy"] <= 1


def test_ratios_are_those_of_the_seconds(results: dict[str, Any]) -> None:
    for row in results["rows"]:
        own, other = seconds_of(results, row, "seqclf"), seconds_of(results, row, "hand-written")
        assert row["ratios"] == {"hand-written": pytest.approx(other / own)}
        assert row["best_on_torch"] == "hand-written"
        sequences = row["peers"]["seqclf"]["sequences"]
        assert row["peers"]["seqclf"]["rate"] == pytest.approx(sequences / own)


def test_the_efficiency_is_the_part_of_the_time_that_the_floor_takes(results: dict[str, Any]) -> None:
    for row in results["rows"]:
        if row["task"] in SINGLE_TASKS:
            assert row["efficiency"] is None
            continue
        measurement = next(one for one in results["measurements"] if one["config"]["title"] == row["title"])
        floor = statistics.median(measurement["floor"]["tasks"][row["task"]]["seconds"][1:])
        assert row["efficiency"] == pytest.approx(floor / seconds_of(results, row, "seqclf"))


def test_a_peer_without_its_package_is_reported(results: dict[str, Any], output: Path) -> None:
    table = (output / "table.md").read_text(encoding="utf-8")
    assert results["peers"]["skorch"] == f"not installed: {ABSENT}"
    assert f"- skorch: not installed: {ABSENT}" in table
    assert "| not installed |" in table


def test_a_peer_that_breaks_is_reported(results: dict[str, Any], output: Path) -> None:
    failures = [one["peers"]["tutorial"]["failure"] for one in results["measurements"] if "tutorial" in one["peers"]]
    assert len(failures) == 1
    assert "AttributeError" in failures[0]
    table = (output / "table.md").read_text(encoding="utf-8")
    assert re.search(r"^- tutorial, .*: `AttributeError: .*NoSuchClass.*`$", table, re.MULTILINE)
    assert "| failed |" in table


def test_the_report_is_made_of_the_json_alone(results: dict[str, Any], output: Path) -> None:
    assert render(results) == (output / "table.md").read_text(encoding="utf-8")


def test_the_report_is_sound_markdown(output: Path) -> None:
    text = (output / "table.md").read_text(encoding="utf-8")
    headings = re.findall(r"^(#+) (.+)$", text, re.MULTILINE)
    assert headings[0][0] == "#"
    assert {marks for marks, _ in headings[1:]} == {"##"}
    assert len({title for _, title in headings}) == len(headings)
    tables = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert len(tables) == 7  # four tasks, the first turn, memory, encoding
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_encoding_has_every_way(results: dict[str, Any]) -> None:
    assert set(results["encoding"]["seconds"]) == {
        "Vocabulary.encode_flat",
        "SequenceDataset.from_sequences",
        "dict loop",
    }
    assert 1 <= results["encoding"]["bytes_a_character"] < results["encoding"]["loop_bytes_a_character"] == 8


def test_suites_hold_what_must_be_shown() -> None:
    points = core()
    for cell, threads in itertools.product(("lstm", "gru"), (1, 2)):
        own = [one for one in points if (one.work, one.cell, one.hidden, one.threads) == ("names", cell, 128, threads)]
        trained = [one for one in own if "train" in one.tasks]
        assert {one.batch_size for one in trained if not one.has_options and one.layers == 1} == set(BATCH_SIZES)
        (usual,) = [one for one in trained if one.has_options]
        assert (usual.layers, usual.bidirectional, usual.batch_size, usual.dropout) == (2, True, 32, 0.5)
        singles = {(one.layers, one.bidirectional) for one in own if set(SINGLE_TASKS) <= set(one.tasks)}
        assert singles == {(1, False), (2, True)}
    assert {one.work for one in points} == {"names", "all names", "50-400", "1000-2000"}
    assert set(points) < set(full())
    titles = [one.title for one in full()]
    assert len(set(titles)) == len(titles)


def test_peers_have_the_same_model() -> None:
    for both, kind in ((True, Classifier), (False, Classifier), (False, PaddedClassifier)):
        options = {"layers": 2, "bidirectional": both, "dropout": 0.5, "pooling": ("last", "mean", "max")}
        config = Config(work="sample", hidden=8, batch_size=10, **options)
        work = make_work(config, None)
        other, own = make_classifier(work, config, kind).eval(), SeqclfFit()
        own.prepare(work, config)
        own.model.load_state_dict(other.state_dict())
        ids = work.tensors()[:10]
        inputs, lengths, _ = collate([(one, 0) for one in ids])
        expected = own.model.eval()(inputs, lengths)
        assert torch.allclose(other(inputs, lengths), expected, atol=1e-6)
        assert torch.allclose(torch.cat([other.forward_one(one[None]) for one in ids]), expected, atol=1e-6)
        texts = work.texts[:10]
        assert list(own.predict_one(texts)) == list(own.predict_plain(texts)) == expected.argmax(1).tolist()


def test_options_are_for_peers_that_have_them() -> None:
    plain, usual = Config(), Config(dropout=0.5)
    assert [name for name, spec in PEERS.items() if spec.takes(plain) and not spec.takes(usual)] == [
        "keras-jax",
        "keras-torch",
    ]
    assert usual.title == "names, LSTM 128, dropout 0.5, batch 30, 2 threads"
    assert replace(plain, pooling=("last", "max"), threads=1).series == "names, LSTM 128, last + max, 1 thread"


def test_the_best_batch_size_is_found_for_each_peer() -> None:
    def row(batch_size: int, **rates: float) -> dict[str, Any]:
        peers = {
            name: {"rate": rate, "others": None, "sequences": 9, "tokens": 1.0, "p10": 1.0}
            for name, rate in rates.items()
        }
        return {
            "task": "predict",
            "title": f"batch {batch_size}",
            "series": "all",
            "work": "all names",
            "batch_size": batch_size,
            "peers": peers,
            "failures": {},
            "ratios": {},
            "best_on_torch": None,
            "efficiency": None,
        }

    rows = [row(64, seqclf=80.0, skorch=10.0), row(256, seqclf=60.0, skorch=20.0)]
    results: dict[str, Any] = {
        "suite": "core",
        "rows": rows,
        "measurements": [],
        "peers": {},
        "encoding": None,
        "scale": None,
    }
    assert "| all | 80 (64) | 4.00 (256) |" in render(results | HEAD)


@pytest.mark.parametrize("config", [Config(work="sample", batch_size=10), Config(work="50-400", batch_size=32)])
def test_work_is_the_same_in_every_form(config: Config) -> None:
    work, again, part = make_work(config, None), make_work(config, None), make_work(config, None, share=0.1)
    assert np.array_equal(work.ids, again.ids)
    assert np.array_equal(work.labels, again.labels)
    assert len(part) == max(config.batch_size, round(0.1 * len(work))) < len(work)
    padded = work.padded()
    for index, ids in enumerate(work.tensors()):
        assert padded[index, : len(ids)].tolist() == ids.tolist()
        assert not padded[index, len(ids) :].any()
    dataset = make_dataset(work)
    assert dataset.sequences.values.tolist() == work.ids.tolist()
    assert dataset.labels.tolist() == work.labels.tolist()
    assert make_dataset(part).sequences.values.tolist() == work.ids[: len(part.ids)].tolist()


def test_small_batches_go_through_a_part_of_the_names() -> None:
    assert len(make_work(Config(batch_size=1), None)) == 500 == SINGLES
    assert len(make_work(Config(batch_size=10), None)) == 4000
    assert len(make_work(Config(batch_size=30), None)) == 10_000


def test_shapes_count_real_steps_alone() -> None:
    lengths = np.array([3, 1, 2, 1])
    assert count_shapes(lengths, [[0, 2, 1], [3]]) == Shapes(
        alive=Counter({2: 1, 1: 1}), later=Counter({3: 1, 0: 1}), steps=7, updates=2
    )


def test_products_are_the_same_in_every_way() -> None:
    rows, weight = torch.randn(7, 3), torch.randn(3, 5)
    expected = rows[:4] @ weight
    for way, _ in rows_times(rows, weight, threads=1).ways:
        product = way(4)()
        assert torch.allclose(product if product.shape == (4, 5) else product.t(), expected, atol=1e-6)
    other = torch.randn(7, 5)
    for way, _ in sums_of_products(rows, other, threads=1).ways:
        product = way(4)()
        assert torch.allclose(product if product.shape == (3, 5) else product.t(), rows[:4].t() @ other[:4], atol=1e-6)
    assert sums_of_products(rows, other, threads=1).seconds(Counter({0: 3})) == 0
    assert rows_times(rows, weight, threads=1).seconds(Counter({1: 2, 7: 1})) > 0


def test_percentiles() -> None:
    assert percentile([4.0], 10) == 4
    assert percentile([3.0, 1.0, 2.0], 50) == 2
    assert percentile([0.0, 10.0], 10) == pytest.approx(1)


def test_scale_measures_a_size_and_fits_its_growth() -> None:
    assert sizes_up_to(1_000_000) == [10_000, 100_000, 1_000_000]
    one = measure_size(1000)
    assert one["sequences"] == 1000
    sizes = [one | {"sequences": n, "data_seconds": 1e-6 * n, "epoch_seconds": 1e-9 * n**2} for n in (100, 1000)]
    scale = with_exponents(sizes)
    assert scale["exponents"] == {"data": pytest.approx(1), "epoch": pytest.approx(2)}
    report = render(
        {"suite": "scale", "rows": [], "measurements": [], "peers": {}, "encoding": None, "scale": scale} | HEAD
    )
    assert "n^1.00 (data) and n^2.00 (epoch)" in report


HEAD = {
    "rounds": 1,
    "data": "none",
    "machine": {
        "cpu": "a processor",
        "flags": [],
        "cores": 2,
        "system": "a system",
        "python": "3",
        "versions": {"torch": "2", "jax": None},
    },
}


def test_the_command_line_names_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQCLF_NAMES_DIR", "names")
    request, folder = parse([])
    assert request == Request(folder="names")
    assert folder.parts[-2:] == ("benchmarks", "results")
    request, folder = parse(["--suite", "quick", "--peers", "seqclf", "--output", "there", "--data", "others"])
    assert request == Request("quick", ("seqclf",), rounds=1, folder="others")
    assert folder == Path("there")
