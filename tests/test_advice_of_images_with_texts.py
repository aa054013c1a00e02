"""What is said of images with texts where something is wrong, and that doing so helps."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_captions import PAIR, pair_run, pictures, write_flickr

import headstart as hs
from headstart.errors import DataError, OptionError, StartError
from headstart.starts import BuildRequest, build_encoder, find_start
from headstart.tasks import TargetColumn, find_task
from headstart.tasks.plain import TextColumn
from headstart.tasks.retrieval import Embedded, ranks_of
from headstart.tuning.hooks import over_step
from headstart.types.captions import Captions, captions_array
from headstart.types.ragged import Ragged

TASK = find_task("retrieval")
TOLD = captions_array([Captions(captions) for _, captions in pictures(6)])
ROWS = Ragged.even(np.random.default_rng(0).normal(size=(6, 3, 4)).astype(np.float32))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return pair_run(tmp_path_factory.mktemp("pairs"), num_steps=2)


def test_what_is_of_another_task_is_refused(heard):
    with pytest.raises(OptionError, match="no embeddings of images and texts") as caught:
        TASK.scores(np.zeros((6, 2)), TOLD, None)
    heard(caught.value)
    with pytest.raises(OptionError, match="There are embeddings of 12 texts") as caught:
        ranks_of(ROWS, TOLD[:5])
    heard(caught.value)
    with pytest.raises(OptionError, match="There are no captions of train") as caught:
        TASK.baseline(TOLD[:0], TOLD, None)
    heard(caught.value)
    assert len(ranks_of(ROWS, TOLD).of_texts) == len(Embedded.of(ROWS).texts) == 12
    assert TASK.baseline(TOLD, TOLD, None)[0] == "random order"


def test_a_column_that_holds_no_captions_is_refused(tmp_path, heard):
    column = TargetColumn(["a dog"], "Column 'note'", lambda place: f"row {place + 1}")
    with pytest.raises(DataError, match="expects images with captions: a table") as caught:
        TASK.read(column)
    write_flickr(tmp_path, 30)
    assert hs.load(str(tmp_path)).schema.task == "retrieval"
    heard(caught.value)


def test_items_that_are_neither_captions_nor_places_are_refused(run, heard):
    with pytest.raises(OptionError, match="expected captions or places") as caught:
        TASK.read_item_column(TextColumn(["yes"], np.zeros(2, np.int64)), None)
    assert (run.path / "predictions.parquet").is_file()
    heard(caught.value)


def test_a_model_of_captions_refuses_images_without(run, heard):
    preprocess = run.model.encoder.preprocess
    with pytest.raises(DataError, match="holds images without captions") as caught:
        preprocess.prepare(hs.load("digits-8x8"), "test")
    assert len(preprocess.prepare(hs.load(**run.data["source"]), "test"))
    heard(caught.value)
    with pytest.raises(DataError, match=r"Text 2 cannot be used.* Expected a text") as caught:
        preprocess.read_texts(["a dog", ""], ["text 1", "text 2"])
    assert len(preprocess.read_texts(["a dog"], ["text 1"])) == 1
    heard(caught.value)


def test_what_to_choose_among_says_nothing_to_other_runs(tmp_path, heard):
    digits = hs.load("digits-8x8")
    said = {"start": "scratch/simple-cnn", "num_steps": 1, "device": "cpu"}
    other = hs.finetune(digits, **said, out=str(tmp_path / "digits"))
    image = digits.test.samples.read(0)
    with pytest.raises(OptionError, match="say what to choose among") as caught:
        hs.predict(other, [image], texts="captions.txt")
    assert hs.predict(other, [image])[0].label in digits.schema.classes
    heard(caught.value)


def test_weights_in_pieces_cannot_meet_all_of_a_step(run, heard):
    from headstart.training.options.recipe import recipe_for
    from headstart.training.options.training_options import TrainingOptions

    model = run.model
    asked = {"schema": run.schema, "num_train": 40, "num_layers": len(model.encoder.layers)}
    recipe = recipe_for(model.encoder.start, TrainingOptions(strategy="full"), **asked)
    with pytest.raises(OptionError, match="Leave out --fsdp") as caught:
        over_step(model, replace(recipe, fsdp=True), model)
    assert over_step(model, recipe, model) is not None
    heard(caught.value)


def test_a_pair_is_built_of_what_can_be_one(heard):
    request = BuildRequest(
        image_size=(16, 16), image_channels=3, matches_texts=True, wanted=["a dog"] * 20
    )
    encoder = build_encoder(find_start(PAIR), request)
    images, ids = torch.rand(2, 3, 16, 16), torch.ones(3, 4, dtype=torch.int64)
    assert encoder(images, ids, ids).shape == (5, encoder.num_features)
    listed = sorted(name for group in encoder.layers for name in group)
    assert listed == sorted(name for name, _ in encoder.named_parameters())
    assert sorted(encoder.layers[-1]) == [
        "network.image_projection.weight",
        "network.logit_scale",
        "network.text_projection.weight",
    ]
    for address in ("scratch/bert-tiny+scratch/bert-tiny", "pip/nothing+scratch/bert-tiny"):
        with pytest.raises(StartError, match="is no start of images") as caught:
            find_start(address)
        heard(caught.value)
