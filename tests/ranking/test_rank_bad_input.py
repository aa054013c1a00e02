"""What ``rank`` cannot use: it is named and the rest go on, or it is refused with a way out."""

import numpy as np
import pytest
import toys
from safetensors.numpy import save_file

import headstart as hs
from headstart import cli
from headstart.data import load
from headstart.starts.providers import PROVIDERS

CPU = {"budget": "120s", "device": "cpu"}


@pytest.fixture(autouse=True)
def _toys(monkeypatch, tmp_path):
    monkeypatch.setitem(PROVIDERS, "toy", toys.Toys())
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def digits():
    return load("digits-8x8")


def test_a_start_of_another_modality_among_others_is_named_and_left_out(digits, capsys):
    ranked = hs.rank(digits, starts=["scratch/tfidf", "toy/narrow"], **CPU)
    assert [one["start"] for one in ranked.record["starts"]] == ["toy/narrow"]
    assert "scratch/tfidf is left out: it reads texts." in capsys.readouterr().err


def test_starts_of_another_modality_alone_are_refused_and_no_budget_would_help(digits):
    with pytest.raises(hs.StartError, match="the data holds images") as caught:
        hs.rank(digits, starts=["scratch/tfidf"], **CPU)
    assert "budget" not in str(caught.value)
    assert "headstart starts --modality image" in str(caught.value)


def test_damaged_weights_are_named_and_the_others_go_on(digits, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    address = f"timm/resnet18:{damaged}"
    ranked = hs.rank(digits, starts=[address, "toy/broken", "toy/narrow"], **CPU)
    first, *rest = ranked.record["starts"]
    assert first["start"] == "toy/narrow"
    told = {one["start"]: one["why"] for one in rest}
    assert told["toy/broken"] == "left out: the file of its weights is damaged"
    assert "damaged.safetensors" in told[address]


def test_weights_of_another_network_are_named_and_the_others_go_on(digits, tmp_path):
    other = tmp_path / "other.safetensors"
    save_file({"conv1.weight": np.zeros((2, 2), np.float32)}, other)
    address = f"timm/resnet18:{other}"
    ranked = hs.rank(digits, starts=[address, "toy/narrow"], **CPU)
    assert [one["place"] for one in ranked.record["starts"]] == [1, None]
    assert "left out" in ranked.record["starts"][1]["why"]


def test_pickled_weights_are_refused_by_name_before_anything_is_read(digits, tmp_path):
    pickled = tmp_path / "model.pth"
    pickled.write_bytes(b"\x80\x04.")
    with pytest.raises(hs.StartError, match=r"model\.pth' is a pickle file, which can run code"):
        hs.rank(digits, starts=["toy/narrow", f"timm/resnet18:{pickled}"], **CPU)


def test_two_classes_of_three_samples_each_are_ranked_and_say_how_unsure_that_is():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (14, 8, 8), np.uint8)
    labels = np.array(["a", "b"] * 7)
    images[labels == "a", :4] = 0
    parts = {
        name: (images[place], labels[place])
        for name, place in (("train", slice(0, 6)), ("val", slice(6, 10)), ("test", slice(10, 14)))
    }
    ranked = hs.rank(parts, starts=["toy/narrow", "toy/wide"], **CPU)
    first = ranked.record["starts"][0]
    assert first["figure"]["high"] - first["figure"]["low"] > 0.3
    assert ranked.record["num_samples"] == 6


def test_features_that_are_all_alike_are_as_good_as_guessing(digits):
    ranked = hs.rank(digits, starts=["toy/dead", "toy/wide"], **CPU)
    first, last = ranked.record["starts"]
    assert (first["start"], last["start"]) == ("toy/wide", "toy/dead")
    assert last["figure"]["value"] < 0.2
    assert last["best_chance"] == 0


def test_a_budget_too_small_for_anything_says_which_one_works(digits, monkeypatch, heard):
    from headstart.ranking import scored

    monkeypatch.setattr(scored, "seconds_per_sample", lambda *_, **__: 2.0)
    with pytest.raises(hs.StartError, match=r"Give --budget (\d+)s or more") as caught:
        hs.rank(digits, starts=["toy/narrow", "toy/wide"], budget="30s", device="cpu")
    said = int(str(caught.value).partition("--budget ")[2].partition("s")[0])
    assert 300 < said < 700  # 100 samples at two seconds are a part of it
    enough = hs.rank(digits, starts=["toy/narrow", "toy/wide"], budget=f"{said}s", device="cpu")
    assert enough.shortlist
    heard(caught.value)


def test_an_unknown_start_among_many_ends_the_command_with_its_nearest_name(capsys):
    words = ["rank", "digits-8x8", "--starts", "toy/narrow", "scratch/simple-cn"]
    assert cli.main(words) != 0
    assert "Did you mean 'scratch/simple-cnn'" in capsys.readouterr().err
