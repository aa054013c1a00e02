"""SigLIP of a transformers folder, and CLIP of open_clip's own files: their features, and tuned."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_captions import CLIP_LONGEST, pictures, write_clip, write_flickr
from torch.nn import functional

import headstart as hs
from headstart.errors import StartError
from headstart.objectives.contrastive import contrastive_loss
from headstart.objectives.supervised import Wanted
from headstart.starts import BuildRequest, build_encoder, find_start
from headstart.starts.duals.clip import SiglipNetwork
from headstart.tensors import evaluating
from headstart.types.ragged import IGNORED

SIZE = 32
TEXTS = ["a photo of a cat", "a dog .", "and an image of the dog"]


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("siglip") / "tiny", kind="siglip")


@pytest.fixture(scope="module")
def open_clip(tmp_path_factory):
    """A small CLIP with random weights as open_clip saves it, and the model."""
    model_of = pytest.importorskip("open_clip.model")
    folder = write_clip(tmp_path_factory.mktemp("open") / "tiny")
    (folder / "model.safetensors").unlink()
    (folder / "config.json").unlink()
    width = {"width": 16, "layers": 2, "mlp_ratio": 2.0}
    config = {
        "embed_dim": 12,
        "vision_cfg": {**width, "head_width": 8, "patch_size": 8, "image_size": SIZE},
        "text_cfg": {**width, "heads": 2, "vocab_size": 120, "context_length": CLIP_LONGEST},
        "quick_gelu": True,
    }
    mean = [0.4, 0.5, 0.6]
    about = {"model_cfg": config, "preprocess_cfg": {"mean": mean, "interpolation": "bilinear"}}
    (folder / "open_clip_config.json").write_text(json.dumps(about))
    torch.manual_seed(0)
    model = model_of.CLIP(**config).eval()
    for parameter in model.parameters():  # biases and scales of their own, too
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 0 else 0.0, 0.3)
    state = {n: t.contiguous() for n, t in model.state_dict().items() if n != "attn_mask"}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder, model


def built(folder, **more):
    request = BuildRequest(image_size=(SIZE, SIZE), image_channels=3, **more)
    return build_encoder(find_start(str(folder)), request)


def read(encoder, texts=TEXTS):
    tokens = encoder.preprocess.read_texts(texts, list(texts))
    return [torch.from_numpy(array) for array in tokens.arrays(np.arange(len(texts)))]


def drawn(num=3):
    return torch.randn(num, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def test_features_of_siglip_are_those_of_transformers(siglip):
    from transformers import SiglipModel

    encoder, theirs = built(siglip, matches_texts=True), SiglipModel.from_pretrained(siglip).eval()
    assert isinstance(encoder.network, SiglipNetwork)
    ids, mask = read(encoder)
    whole = torch.full((3, CLIP_LONGEST), theirs.config.text_config.pad_token_id)
    whole[:, : ids.shape[1]] = torch.where(mask > 0, ids, whole[:, : ids.shape[1]])
    with evaluating(encoder), torch.no_grad():
        rows = encoder(drawn(), ids, mask)
        short = encoder.network.embed_texts(ids[1:2, :5], mask[1:2, :5])
        found = theirs(input_ids=whole, pixel_values=drawn())
    torch.testing.assert_close(rows[3:, :-1], found.text_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(rows[:3] @ rows[3:].T, found.logits_per_image, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(short, found.text_embeds[1:2], atol=1e-5, rtol=0)


def test_its_loss_is_transformers_own_of_one_caption_an_image(siglip):
    encoder = built(siglip, matches_texts=True)
    ids, mask = read(encoder)
    rows = encoder(drawn(), ids, mask)
    targets = torch.tensor([[7, 1], [8, 2], [9, 3]])
    ours = contrastive_loss(rows, Wanted(targets, judges_pairs=True))
    logits = rows[3:] @ rows[:3].T
    signs = 2 * torch.eye(3) - 1
    torch.testing.assert_close(ours, -functional.logsigmoid(signs * logits).sum(-1).mean())
    # two captions of one image, one of them another's too: true of both, and not held against it
    targets = torch.tensor([[7, 1, 2], [8, 2, IGNORED]])
    rows = torch.cat([rows[:2], rows[3:]])
    ours = contrastive_loss(rows, Wanted(targets, judges_pairs=True))
    logits = rows[:2] @ rows[2:].T
    signs = torch.tensor([[1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]])
    each = -functional.logsigmoid(signs * logits) * signs.abs()
    torch.testing.assert_close(ours, each.sum() / 3)


def test_features_of_open_clip_are_its_own(open_clip):
    folder, theirs = open_clip
    encoder = built(folder, matches_texts=True)
    spec = encoder.preprocess.image.spec
    assert (spec.mean, spec.interpolation, spec.size) == ((0.4, 0.5, 0.6), "bilinear", SIZE)
    ids, mask = read(encoder)
    with evaluating(encoder), torch.no_grad():
        images = encoder.network.embed_images(drawn())
        texts = encoder.network.embed_texts(ids, mask)
        wide = functional.pad(ids * mask, (0, CLIP_LONGEST - ids.shape[1]))
        wanted = (
            theirs.encode_image(drawn(), normalize=True),
            theirs.encode_text(wide, normalize=True),
        )
    for own, their in zip((images, texts), wanted, strict=True):
        torch.testing.assert_close(own, their, atol=1e-5, rtol=0)
    rows = built(folder, class_names=("cat", "dog")).network.class_rows
    assert rows.shape == (2, 12)


def test_both_are_tuned_on_captions_and_opened_again(siglip, open_clip, tmp_path):
    data = hs.load(str(write_flickr(tmp_path / "pictures", 40)))
    said = {"num_steps": 3, "device": "cpu", "quiet": True, "batch_size": 12}
    pixels = [image for image, _ in pictures(2)]
    for name, folder in (("siglip", siglip), ("open", open_clip[0])):
        out = str(tmp_path / name)
        run = hs.finetune(data, start=str(folder), micro_batch_size=6, **said, out=out)
        assert run.metrics["test"]["figures"]["mean_recall"]["value"] > 0
        texts = tmp_path / "texts.txt"
        texts.write_text("red above blue\nblue above red\n")
        answers = hs.predict(out, pixels, texts=str(texts), quiet=True)
        again = hs.open(out)
        assert type(again.model.encoder.network) is type(run.model.encoder.network)
        assert sum(answers[0].probabilities) == pytest.approx(1)


@pytest.mark.parametrize(
    ("side", "changed", "told"),
    [
        ("vision_cfg", {"timm_model_name": "vit"}, "'timm_model_name'"),
        ("vision_cfg", {"layers": [3, 4]}, "a ResNet"),
        ("text_cfg", {"hf_model_name": "roberta-base"}, "'hf_model_name'"),
        ("text_cfg", {"no_causal_mask": True}, "'no_causal_mask'"),
        ("vision_cfg", {"pool_type": "avg"}, "'pool_type'"),
        ("vision_cfg", {"image_size": [32, 64]}, "expected a square"),
    ],
)
def test_what_is_no_plain_clip_of_open_clip_is_refused(
    open_clip, tmp_path, side, changed, told, heard
):
    folder, _ = open_clip
    about = json.loads((folder / "open_clip_config.json").read_text())
    about["model_cfg"][side] |= changed
    other = tmp_path / "other"
    other.mkdir()
    (other / "open_clip_config.json").write_text(json.dumps(about))
    weights = folder / "open_clip_model.safetensors"
    (other / weights.name).write_bytes(weights.read_bytes())
    with pytest.raises(StartError, match=told) as caught:
        find_start(str(other))
    assert find_start(str(folder)).modality == "image"
    heard(caught.value)


def test_weights_that_no_plain_clip_has_are_refused(open_clip, tmp_path, heard):
    folder, model = open_clip
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    state = {n: t.contiguous() for n, t in model.state_dict().items() if n != "attn_mask"}
    save_file(state | {"visual.head.weight": torch.ones(2)}, other / "open_clip_model.safetensors")
    with pytest.raises(StartError, match="Choose this start in transformers' form") as caught:
        built(other)
    assert built(write_clip(tmp_path / "clip")).num_features == 12
    heard(caught.value)


def test_open_clip_without_its_weights_is_refused(open_clip, tmp_path, heard):
    folder, _ = open_clip
    other = tmp_path / "other"
    other.mkdir()
    about = (folder / "open_clip_config.json").read_bytes()
    (other / "open_clip_config.json").write_bytes(about)
    with pytest.raises(StartError, match=r"no weights\. Expected open_clip_model") as caught:
        find_start(str(other))
    weights = (folder / "open_clip_model.safetensors").read_bytes()
    (other / "open_clip_model.safetensors").write_bytes(weights)
    assert find_start(str(other)).objective == "contrastive"
    heard(caught.value)
    (other / "open_clip_model.safetensors").unlink()
    (other / "open_clip_pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(StartError, match="is a pickle file"):
        find_start(str(other))
