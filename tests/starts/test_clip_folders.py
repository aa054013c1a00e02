"""CLIP of a transformers folder: its own features, weights again, and classes by their names."""

import json

import numpy as np
import pytest
import torch
from small_captions import CLIP_SIZE as SIZE
from small_captions import write_clip, write_flickr

import headstart as hs
from headstart.errors import StartError
from headstart.model import run_batches
from headstart.starts import (
    BuildRequest,
    ClipImageNetwork,
    PairNetwork,
    build_encoder,
    find_start,
    rebuild_encoder,
)
from headstart.tensors import evaluating
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.setup import set_up


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "tiny")


def built(folder, **more):
    request = BuildRequest(image_size=(SIZE, SIZE), image_channels=3, **more)
    return build_encoder(find_start(str(folder)), request)


def test_features_are_those_of_transformers(folder):
    from transformers import CLIPModel

    encoder, theirs = built(folder, matches_texts=True), CLIPModel.from_pretrained(folder).eval()
    assert isinstance(encoder.network, PairNetwork)
    tokens = encoder.preprocess.read_texts(["a photo of a cat", "a dog ."], ["one", "two"])
    ids, mask = map(torch.from_numpy, tokens.arrays(np.arange(2)))
    images = torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with evaluating(encoder), torch.no_grad():
        ours = encoder.network.embed_images(images), encoder.network.embed_texts(ids, mask)
        rows = encoder(images, ids, mask)
        wanted = (
            theirs.get_image_features(pixel_values=images).pooler_output,
            theirs.get_text_features(input_ids=ids, attention_mask=mask).pooler_output,
        )
        logits = theirs(input_ids=ids, attention_mask=mask, pixel_values=images).logits_per_image
    for own, their in zip(ours, wanted, strict=True):
        torch.testing.assert_close(own, their / their.norm(dim=1, keepdim=True), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows[:3] @ rows[3:].T, logits, atol=1e-4, rtol=1e-5)


def test_of_labels_the_network_of_images_stays_and_names_tell_classes(folder):
    from transformers import CLIPModel

    encoder = built(folder, class_names=("cat", "dog"))
    network = encoder.network
    assert isinstance(network, ClipImageNetwork)
    assert not any("text" in name for name, _ in network.named_parameters())
    theirs = CLIPModel.from_pretrained(folder)
    assert network.class_rows.shape == (2, 12)
    lengths = network.class_rows.norm(dim=1)
    torch.testing.assert_close(lengths, theirs.logit_scale.exp().expand(2), atol=1e-4, rtol=0)
    listed = sorted(name for group in encoder.layers for name in group)
    assert listed == sorted(name for name, _ in encoder.named_parameters())
    assert len(encoder.layers) == 3  # embeddings and two blocks


def test_it_is_built_again_from_its_record(folder, tmp_path):
    encoder = built(folder, matches_texts=True)
    for name, content in encoder.preprocess.files().items():
        (tmp_path / name).write_bytes(content)
    again = rebuild_encoder(json.loads(json.dumps(encoder.architecture)), folder=tmp_path)
    shapes = {name: tensor.shape for name, tensor in encoder.state_dict().items()}
    assert {name: tensor.shape for name, tensor in again.state_dict().items()} == shapes
    assert again.preprocess.to_json() == encoder.preprocess.to_json()
    listed = sorted(name for group in again.layers for name in group)
    assert listed == sorted(name for name, _ in again.named_parameters())


def test_what_is_no_plain_clip_is_refused(folder, tmp_path, heard, monkeypatch):
    with pytest.raises(
        StartError, match="reads images of 32 pixels, and 64 are asked for"
    ) as caught:
        built(folder, size=64)
    assert built(folder).preprocess.size == SIZE
    heard(caught.value)
    with pytest.raises(StartError, match="Leave --encoder-dropout out") as caught:
        built(folder, dropout=0.1)
    heard(caught.value)
    config = json.loads((folder / "config.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "siglip2"}))
    with pytest.raises(StartError, match="which reads any number of patches") as caught:
        find_start(str(other))
    assert find_start(str(folder)).objective == "contrastive"
    heard(caught.value)
    (other / "config.json").write_text(json.dumps({**config, "auto_map": {"A": "b.C"}}))
    with pytest.raises(StartError, match="foreign code is never run") as caught:
        built(other)
    heard(caught.value)
    monkeypatch.setattr("headstart.starts.duals.clip._MAX_PARAMETERS", 10)
    with pytest.raises(StartError, match="Choose a smaller start") as caught:
        built(folder)
    heard(caught.value)


def test_what_it_says_by_names_stands_before_what_it_has_learned(folder, tmp_path, heard):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 255, (120, SIZE, SIZE, 3), dtype=np.uint8)
    data = hs.load((images, np.array(["cat", "dog", "picture"])[np.arange(120) % 3]))
    start = find_start(str(folder))
    said = {"num_steps": 2, "device": "cpu", "quiet": True}
    run = hs.finetune(data, start=str(folder), **said, out=str(tmp_path / "run"))
    figures = run.metrics["before_after"]["figures"]
    setup = set_up(data, start, TrainingOptions(strategy="full"), device=torch.device("cpu"))
    test = setup.preprocess.prepare(data, "test")
    features = run_batches(setup.model, test, setup.model.features)
    told = (features @ setup.model.encoder.network.class_rows.numpy().T).argmax(axis=1)
    assert figures["zero-shot by class names"]["value"] == pytest.approx(
        (told == test.targets).mean()
    )
    assert hs.predict(run, [data.test.samples.read(0)])[0].label in data.schema.classes
    pictures = write_flickr(tmp_path / "pictures", 30)
    with pytest.raises(StartError, match="holds CLIP for images, and these data have cap") as told:
        hs.finetune(str(pictures), start=str(run.path), **said, out=str(tmp_path / "x"))
    matched = hs.finetune(str(pictures), start=str(folder), **said, out=str(tmp_path / "y"))
    assert "start as it is" in matched.metrics["before_after"]["figures"]
    heard(told.value)
