"""What a run prints of how its start is built is what was built, or was refused: every start."""

from __future__ import annotations

import json
import re
from functools import cache

import numpy as np
import pytest
import torch
from small_captions import write_clip, write_flickr

from headstart.data import load
from headstart.errors import HeadstartError
from headstart.starts import find_start
from headstart.training.options.limits import check_applies
from headstart.training.options.option import stated
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.setup import TrainingSetup, set_up

CPU = torch.device("cpu")
TEXTS = [" ".join(["warm", "cold", "film", "plot"][: 1 + i % 4] * 12) for i in range(60)]
LABELS = [("a", "b")[i % 2] for i in range(60)]
# Another value than any of these starts has of itself, for each option that says how one is built.
SAID = {
    "input_size": 48,
    "max_length": 12,
    "languages": "en,de",
    "encoder_dropout": 0.3,
    "drop_path": 0.2,
    "framing": "pad",
    "value_range": (0, 4095),
}
STARTS = [
    ("images", "scratch/vit-tiny"),
    ("images", "scratch/simple-cnn"),
    ("images", "scratch/quick-cnn-small"),
    ("images", "pip/efficientnet-lite0"),
    ("images", "clip"),
    ("captions", "clip"),
    ("captions", "scratch/resnet18+scratch/bert-tiny"),
    ("texts", "scratch/bert-tiny"),
    ("texts", "scratch/tfidf"),
    ("wanted", "scratch/seq2seq-tiny"),
    ("answers", "scratch/gpt-tiny"),
    ("rows", "scratch/mlp"),
    ("rows", "scratch/boosting"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return data of a kind, and the address of a start, each made once."""
    folder = tmp_path_factory.mktemp("printed")

    @cache
    def data(kind):
        draw = np.random.default_rng(0)
        if kind == "images":
            images = draw.integers(0, 255, (60, 24, 32, 3), dtype=np.uint8)
            return load((images, np.array(LABELS)))
        if kind == "captions":
            return load(str(write_flickr(folder / "pictures", 30)))
        if kind == "rows":
            return load((draw.normal(size=(60, 3)), np.array(LABELS)))
        task = {"wanted": "seq2seq", "answers": "text-generation"}.get(kind, "auto")
        wanted = LABELS if task == "auto" else [text[::-1] for text in TEXTS]
        return load((TEXTS, wanted), task=task)

    clip = cache(lambda: str(write_clip(folder / "clip")))
    return lambda kind, start: (data(kind), clip() if start == "clip" else start)


def built(data, start, **said) -> TrainingSetup:
    strategy = "head" if start == "scratch/boosting" else "full"
    found, options = find_start(start), TrainingOptions(strategy=strategy, **said)
    check_applies(options, data.schema, found)
    return set_up(data, found, options, device=CPU)


def depth(setup) -> float:
    """Return the largest rate at which a module of the network leaves out its branch."""
    modules = setup.model.encoder.modules()
    return max((float(m.drop_prob) for m in modules if hasattr(m, "drop_prob")), default=0.0)


def held(setup, name) -> object:
    """Return what the network that was built has in place of an option."""
    encoder = setup.model.encoder
    read = encoder.preprocess
    if name == "drop_path":
        return round(depth(setup), 6)
    if name == "encoder_dropout":
        written = re.findall(r'dropout\w*"?: ([0-9.]+)', json.dumps(encoder.architecture))
        return max(map(float, written))
    if name == "max_length":
        return getattr(read, "text", read).tokenizer.max_length
    if name == "input_size":
        return read.size
    return getattr(getattr(read, "image", read).spec, name)


def test_the_options_that_say_how_a_start_is_built_are_all_asked_for():
    of = stated(TrainingOptions)
    assert set(SAID) == {name for name, one in of.items() if one.option.builds}


@pytest.mark.parametrize(("kind", "start"), STARTS)
def test_what_is_said_of_a_start_is_built_or_refused(made, kind, start):
    data, address = made(kind, start)
    plain = built(data, address)
    assert (depth(plain) > 0) == (plain.recipe.drop_path > 0)  # as it is printed
    num_refused = 0
    for name, value in SAID.items():
        setup, refusal = None, ""
        try:
            setup = built(data, address, **{name: value})
        except HeadstartError as refused:
            refusal, num_refused = str(refused), num_refused + 1
        if setup is None:
            assert name in refusal or "pixels" in refusal
            continue
        # the deepest block of some networks of timm's has a little less
        wanted = pytest.approx(value, rel=0.1) if name == "drop_path" else value
        assert held(setup, name) == wanted, name
        assert getattr(setup.recipe, name, value) == value
    assert num_refused < len(SAID) or kind == "rows" or start == "scratch/tfidf"


def test_stochastic_depth_of_clip_acts_in_training_only(made):
    data, address = made("images", "clip")
    encoder = built(data, address, drop_path=0.5).model.encoder
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    same = built(data, address, drop_path=0.0).model.encoder.eval()
    with torch.no_grad():
        assert torch.equal(encoder.eval()(images), same(images))
        encoder.train()
        assert not torch.equal(encoder(images), encoder(images))
