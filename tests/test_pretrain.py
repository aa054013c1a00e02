"""``headstart pretrain``: a start of one's own, which then competes as any other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

import headstart as hs
from headstart.cli import main
from headstart.errors import DataError, Interrupted, OptionError, RunFolderError
from headstart.events import listen
from headstart.model.pretrained import open_pretrained
from headstart.starts import BuildRequest, build_encoder, find_start

SMALL = {
    "objective": "mae",
    "start": "scratch/vit-mini",
    "decoder_width": 32,
    "decoder_blocks": 1,
    "batch_size": 64,
    "device": "cpu",
}


def drawn(folder: Path, num=40, sides=(8, 12), mode="L"):
    """Write real digits as images of several sizes into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, digit in enumerate(load_digits().images[:num]):
        image = Image.fromarray((digit * 15).astype(np.uint8)).convert(mode)
        side = sides[i % len(sides)]
        image.resize((side, side + i % 2)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def mine(tmp_path_factory) -> hs.open:
    """Return a start pretrained for a moment on digits of 8 x 8 pixels."""
    out = tmp_path_factory.mktemp("work") / "runs" / "mine"
    return hs.pretrain("digits-8x8", num_steps=40, learning_rate=1e-3, out=str(out), **SMALL)


def test_the_folder_is_a_start_with_what_it_has_learned(mine):
    start = find_start(str(mine.path))
    assert (start.objective, start.pretrained_on) == ("mae", "digits-8x8")
    assert start.family == "vit"
    encoder = build_encoder(start, BuildRequest(image_size=(8, 8), image_channels=1))
    state = load_file(str(mine.path / "model.safetensors"))
    own = {n: t for n, t in state.items() if n.startswith("decoder.")}
    assert own
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, state[f"encoder.{name}"])
    opened = open_pretrained(mine.path)
    assert opened.own.keys() == own.keys()
    assert len(encoder.blocks) == 6
    assert len(encoder.layers) == 7


def test_it_says_its_loss_beside_those_that_know_nothing(mine):
    found = mine.metrics["pretraining"]
    assert list(found["trivial"]) == ["the mean patch of train", "each patch's own mean, given"]
    assert found["loss"]["low"] < found["loss"]["value"] < found["loss"]["high"]
    assert found["gain"] == pytest.approx(
        1 - found["loss"]["value"] / found["trivial"]["the mean patch of train"]
    )
    assert [check["step"] for check in found["checks"]] == list(range(0, 41, 4))
    assert 0.3 < found["figures"]["probe_accuracy"]["value"] <= 1
    assert 0.8 < found["figures"]["probe_accuracy, of pixels"]["value"] <= 1
    told = mine.report()
    assert "loss of the mean patch of train" in told
    assert "The test split (359 images" in told
    assert max(map(len, told.splitlines())) <= 88


def test_the_page_shows_what_was_hidden_and_told_and_is_made_again(mine, tmp_path):
    page = (mine.path / "report.html").read_text()
    for caption in ("original", "seen", "told"):
        assert page.count(f'<img alt="{caption}" src="data:image/png;base64,') == 8
    assert "loss of the mean patch of train" in page
    again = hs.report(str(mine.path), out=str(tmp_path / "page.html"))
    assert again.read_text() == page


def test_it_stands_among_starts_and_in_a_ranking(mine, monkeypatch, tmp_path):
    monkeypatch.chdir(mine.path.parents[1])
    own = [start for start in hs.list_starts() if start.objective == "mae" and start.is_local]
    assert [start.address for start in own] == ["runs/mine"]
    assert [start.address for start in hs.list_starts(like="runs/mine")] == ["runs/mine"]
    assert not [s for s in hs.list_starts(modality="text") if s.address == "runs/mine"]
    ranked = hs.rank(
        "digits-8x8", starts=["runs/mine", "scratch/simple-cnn"], out=str(tmp_path), budget="30s"
    )
    assert "runs/mine" in ranked.report()


@pytest.mark.parametrize("strategy", ["head", "last-n", "lp-ft"])
def test_it_is_fine_tuned_by_any_strategy(mine, strategy, tmp_path):
    more = {} if strategy == "head" else {"num_steps": 2}
    run = hs.finetune(
        "digits-8x8",
        start=str(mine.path),
        strategy=strategy,
        out=str(tmp_path / "run"),
        device="cpu",
        **more,
    )
    assert run.model_record["start"]["objective"] == "mae"
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.7


def test_a_start_decides_nothing_and_says_what_does(mine, tmp_path):
    image = drawn(tmp_path / "images", num=4) / "0.png"
    bare = tmp_path / "bare"  # of images alone: it has no classes and no data that load can find
    hs.pretrain(str(image.parent), num_steps=1, out=str(bare), **SMALL)
    for ask in (
        lambda: hs.predict(str(mine.path), [str(image)]),
        lambda: hs.evaluate(mine),
        lambda: hs.evaluate(str(bare)),
        lambda: hs.compare([str(mine.path), str(bare)]),
        lambda: hs.serve([str(bare)]),
    ):
        with pytest.raises(RunFolderError, match=r"is a pretrained start .*headstart finetune"):
            ask()
    assert json.loads((bare / "model.json").read_text())["pretraining"]["epochs"] == 1


def test_it_becomes_a_folder_of_timm(mine, tmp_path):
    import timm

    folder = hs.export(str(mine.path), out=str(tmp_path / "timm"))
    network = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=7)
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 7)
    state = load_file(str(mine.path / "model.safetensors"))
    assert torch.equal(network.pos_embed, state["encoder.network.pos_embed"])
    with pytest.raises(OptionError, match=r"to 'transformers' does not fit .*expected 'timm'"):
        hs.export(str(mine.path), to="transformers", out=str(tmp_path / "other"))


def test_one_that_ends_in_its_first_epoch_is_a_start_and_marked(tmp_path):
    run = hs.pretrain("digits-8x8", num_steps=2, out=str(tmp_path / "short"), **SMALL)
    assert find_start(str(run.path)).pretrained_on == "digits-8x8 (0.1 epochs)"
    assert "It ended in its first epoch" in " ".join(run.report().split())
    assert run.model_record["pretraining"]["is_first_epoch"]


def test_a_stop_keeps_a_start_and_the_state_and_it_ends_in_the_same_bits(tmp_path):
    said = {**SMALL, "num_steps": 20, "learning_rate": 1e-3}
    through = hs.pretrain("digits-8x8", out=str(tmp_path / "through"), **said)
    stopped = str(tmp_path / "stopped")

    def stop(kind, fields):
        if kind == "check" and fields["step"] == 8:
            os.kill(os.getpid(), signal.SIGINT)

    with listen(stop), pytest.raises(Interrupted, match=r"--resume"):
        hs.pretrain("digits-8x8", out=stopped, **said)
    assert find_start(stopped).objective == "mae"
    with pytest.raises(RunFolderError, match=r"unfinished run"):
        hs.report(stopped)
    with pytest.raises(RunFolderError, match=r"learning_rate: 0.001 → 0.002"):
        hs.pretrain("digits-8x8", out=stopped, resume=True, **{**said, "learning_rate": 2e-3})
    resumed = hs.pretrain("digits-8x8", out=stopped, resume=True, **said)
    one, other = (run.path / "model.safetensors" for run in (through, resumed))
    assert one.read_bytes() == other.read_bytes()
    # what was told on the way is told whole
    steps = [check["step"] for check in resumed.metrics["pretraining"]["checks"]]
    assert steps == list(range(0, 21, 2))


def test_a_plan_writes_nothing(tmp_path, capsys):
    out = tmp_path / "plan"
    plan = hs.pretrain("digits-8x8", budget="1h", dry_run=True, out=str(out), **SMALL)
    assert [stage.name for stage in plan.stages] == ["loading", "samples", "training", "closing"]
    assert "1,222 samples are learned from" in plan.report()
    assert not out.exists()


def test_the_budget_is_obeyed_on_a_slow_machine(processor_clock, tmp_path):
    processor_clock.slowness = 2.0
    began = processor_clock()
    run = hs.pretrain("digits-8x8", budget="14s", out=str(tmp_path / "run"), **SMALL)
    assert processor_clock() - began < 14 * 1.05
    told = run.options["training"]
    assert 0 < told["step"] <= run.options["recipe"]["num_steps"]


# Data ---------------------------------------------------------------------------------------------


def test_images_without_labels_of_mixed_sizes_are_learned_from(tmp_path):
    folder = drawn(tmp_path / "photos")
    Image.new("L", (1, 1), 9).save(folder / "pixel.png")
    Image.new("L", (9, 9), 200).save(folder / "constant.png")
    (folder / "notes.txt").write_text("no image")
    deeper = drawn(folder / "inside", num=8)
    (deeper / "7.png").write_bytes((deeper / "7.png").read_bytes()[:60])
    with pytest.raises(DataError, match=r"cannot be used, more than the limit"):
        hs.pretrain(str(folder), num_steps=2, out=str(tmp_path / "run"), **SMALL)
    data = ["pretrain", str(folder), "--objective", "mae", "--max-bad-fraction", "0.1"]
    words = [*data, "--start", "scratch/vit-mini", "--num-steps", "2", "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    record = json.loads((tmp_path / "run" / "data.json").read_text())
    assert record["counts"]["train"] + record["counts"]["val"] >= 45
    assert record["counts"]["test"] == 0
    assert [bad["name"] for bad in record["bad_samples"]] == ["inside/7.png"]
    told = " ".join(record["notes"])
    assert "Nothing says labels" in told
    assert "as no images: 1 file" in told
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert not metrics["pretraining"]["figures"]  # nobody can probe


def test_a_table_of_paths_without_labels_is_learned_from(tmp_path):
    folder = drawn(tmp_path / "photos", num=12)
    table = folder / "list.csv"
    table.write_text("image\n" + "\n".join(f"{i}.png" for i in range(12)))
    run = hs.pretrain(str(table), num_steps=1, out=str(tmp_path / "run"), **SMALL)
    assert run.data["counts"]["train"] + run.data["counts"]["val"] == 12


def test_an_array_alone_is_learned_from_and_constant_images_too(tmp_path):
    array = np.zeros((12, 8, 8), np.uint8)
    array[:6] = (load_digits().images[:6] * 15).astype(np.uint8)
    for i in range(6, 12):
        array[i] = i
    run = hs.pretrain(array, num_steps=2, out=str(tmp_path / "run"), **SMALL)
    assert np.isfinite(run.metrics["pretraining"]["loss"]["value"])
    assert run.options["recipe"]["batch_size"] <= 12


def test_the_test_split_and_its_copies_are_not_learned_from(tmp_path):
    images = (load_digits().images[:200] * 15).astype(np.uint8)
    labels = load_digits().target[:200]
    doubled = np.concatenate([images, images])
    data = hs.load((doubled, np.concatenate([labels, labels])))
    run = hs.pretrain(data, num_steps=1, out=str(tmp_path / "run"), **SMALL)
    ids = {name: set(found) for name, found in run.data["split_ids"].items()}
    assert not ids["train"] & ids["test"]
    learned = {images.tobytes() for images in map(data.train.samples.read, range(len(data.train)))}
    tested = {images.tobytes() for images in map(data.test.samples.read, range(len(data.test)))}
    assert tested
    assert not learned & tested
    assert "is left alone" in " ".join(run.data["notes"])


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["{empty}", "--objective", "mae"], 3, "is empty"),
        (["{one}", "--objective", "mae"], 3, "1 different usable image; expected at least 2"),
        (["{table}", "--objective", "mae"], 3, "expected images for objective mae"),
        (["digits-8x8", "--objective", "mea"], 2, "is not one of"),
        (["digits-8x8"], 2, "objective"),
        (["digits-8x8", "--objective", "mae", "--mask-fraction", "1.5"], 2, "between 0.05 and"),
        (["digits-8x8", "--objective", "mlm", "--decoder-width", "64"], 2, "for objective 'mae'"),
        (["digits-8x8", "--objective", "mae", "--start", "scratch/simple-cnn"], 4, "cannot leave"),
        (["digits-8x8", "--objective", "mae", "--start", "scratch/bert-tiny"], 4, "reads texts"),
        (
            ["digits-8x8", "--objective", "mae", "--num-steps", "3", "--num-epochs", "2"],
            2,
            "both set",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(words, code, told, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    drawn(tmp_path / "one", num=1)
    table = tmp_path / "rows.csv"
    table.write_text("x,label\n" + "\n".join(f"{i},{'ab'[i % 2]}" for i in range(40)))
    places = {"empty": tmp_path / "empty", "one": tmp_path / "one", "table": table}
    said = [word.format(**places) for word in words]
    assert main(["pretrain", *said, "--out", str(tmp_path / "run"), "--device", "cpu"]) == code
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path):
    words = ["pretrain", "digits-8x8", "--objective", "mae", "--start", "scratch/vit-mini"]
    words += ["--num-steps", "6", "--batch-size", "64", "--device", "cpu", "--decoder-width", "32"]
    kept = {n: v for n, v in os.environ.items() if n not in ("RANK", "WORLD_SIZE")}
    run = ["-m", "headstart"]
    for number in ("1", "2"):
        out = str(tmp_path / number)
        done = subprocess.run(
            [sys.executable, *run, *words, "--num-processes", number, "--out", out],
            env={**kept, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
    one, two = (load_file(str(tmp_path / n / "model.safetensors")) for n in ("1", "2"))
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], atol=2e-4), name
    losses = [hs.open(str(tmp_path / n)).metrics["pretraining"]["loss"] for n in ("1", "2")]
    assert losses[0]["value"] == pytest.approx(losses[1]["value"], abs=1e-4)
