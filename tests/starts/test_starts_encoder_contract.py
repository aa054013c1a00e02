"""A contract over networks of every kind: layers, features, rebuilding, seeds, drop path."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from headstart.errors import StartError
from headstart.starts import (
    BuildRequest,
    Encoder,
    build_encoder,
    find_start,
    rebuild_encoder,
    wrap_module,
)
from headstart.starts.encoder import group_layers
from headstart.types import ImageSpec

# name, size, drop_path it accepts, fewest groups of layers
NETWORKS = [
    ("simple-cnn", 28, 0.0, 3),
    ("quick-cnn", 32, 0.0, 4),
    ("resnet18", 32, 0.1, 9),
    ("vit-tiny", 28, 0.1, 13),
    ("resnet10t", 64, 0.1, 5),
    ("mobilenetv3_small_050", 64, 0.1, 10),
    ("tf_efficientnet_lite0", 64, 0.1, 15),
    ("convnext_atto", 64, 0.1, 10),
    ("vit_tiny_patch16_224", 64, 0.1, 12),
    ("deit3_small_patch16_224", 64, 0.1, 12),
    ("swin_tiny_patch4_window7_224", 96, 0.1, 12),
    ("densenet121", 64, 0.0, 30),
    ("mixer_s32_224", 64, 0.1, 8),
    ("edgenext_xx_small", 64, 0.1, 10),
    ("tinynet_e", 64, 0.1, 8),
    ("levit_128s", 224, 0.1, 2),
    ("eva02_tiny_patch14_224", 56, 0.1, 12),
    ("poolformer_s12", 64, 0.1, 2),
    ("maxvit_pico_rw_256", 64, 0.1, 4),
    ("test_vit", 160, 0.1, 5),
]


def build(name: str, size: int, drop_path: float = 0.0, seed: int = 0) -> Encoder:
    return build_encoder(
        find_start(f"scratch/{name}"),
        BuildRequest(
            image_size=(size, size), image_channels=3, size=size, drop_path=drop_path, seed=seed
        ),
    )


@pytest.mark.parametrize(("name", "size", "drop_path", "num_groups"), NETWORKS)
def test_network_keeps_the_contract(name, size, drop_path, num_groups):
    encoder = build(name, size, drop_path)
    listed = [parameter for group in encoder.layers for parameter in group]
    names = [parameter for parameter, _ in encoder.named_parameters()]
    assert sorted(listed) == sorted(names)
    assert len(listed) == len(set(listed))
    assert len(encoder.layers) >= num_groups
    assert all(encoder.layers)
    assert encoder.start.num_parameters == sum(p.numel() for p in encoder.parameters())
    # the last group is more than a norm
    shapes = dict(encoder.named_parameters())
    assert any(shapes[parameter].ndim > 1 for parameter in encoder.layers[-1])

    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = encoder.eval()(images)
    assert features.shape == (2, encoder.num_features)

    again = rebuild_encoder(json.loads(json.dumps(encoder.architecture)))
    again.load_state_dict(encoder.state_dict(), strict=True)
    assert again.architecture == encoder.architecture
    assert again.preprocess.digest() == encoder.preprocess.digest()
    assert again.start == encoder.start or again.start.image is None
    assert again.layers == encoder.layers
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(images), features)


def test_layers_start_at_the_stem_and_end_at_the_final_norm():
    encoder = build("convnext_atto", 64)
    assert encoder.layers[0][0] == "network.stem.0.weight"
    assert "network.head.norm.weight" in encoder.layers[-1]
    assert any("stages.3.blocks.1" in name for name in encoder.layers[-1])
    vit = build("vit-tiny", 28)
    assert "network.pos_embed" in vit.layers[0]
    assert [name for name in vit.layers[5] if not name.startswith("network.blocks.4.")] == []


def test_layers_of_a_network_that_matches_all_as_one_group_are_taken_by_its_children():
    class Matched(nn.Sequential):
        def group_matcher(self, coarse: bool) -> dict[str, str]:
            del coarse
            return {"stem": "^"}

    Matched.__module__ = "timm.models.stand_in"
    layers = group_layers(Matched(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)))
    assert layers == [["0.weight", "0.bias"], ["2.weight", "2.bias"]]


def test_each_group_lies_after_the_one_before_in_the_forward_pass():
    encoder = build("resnet18", 32)
    order: list[str] = []
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_, name=name: order.append(name))
    encoder.eval()(torch.zeros(1, 3, 32, 32))
    depth = {n: i for i, group in enumerate(encoder.layers) for n in group}
    depths = [depth[f"{name}.weight"] for name in order]
    assert depths == sorted(depths)


def test_seed_decides_the_weights_and_the_global_random_state_is_untouched():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first, second, other = (build("resnet10t", 64, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.rand(3), expected)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(),
                                                     strict=True))  # fmt: skip


def test_drop_path_acts_in_training_only():
    encoder = build("vit-tiny", 28, drop_path=0.9)
    images = torch.randn(4, 3, 28, 28)
    assert encoder.training
    assert not torch.equal(encoder(images), encoder(images))
    encoder.eval()
    torch.testing.assert_close(encoder(images), encoder(images))


def test_drop_path_is_refused_where_the_network_has_none():
    for name in ("densenet121", "simple-cnn"):
        with pytest.raises(StartError, match=r"no stochastic depth \(drop_path 0.1\)"):
            build(name, 64, drop_path=0.1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 4}, "Size 4 is not possible"),
        ({"channels": 2}, "channels 2 is not possible"),
        ({"image_channels": 4}, "image_channels 4 is not possible"),
        ({"drop_path": 1.0}, "drop_path 1.0 is not possible"),
        ({"image_size": None}, "size=32"),
    ],
)
def test_impossible_requests_are_refused(options, words):
    request = {"image_size": (28, 28), "image_channels": 1, **options}
    with pytest.raises(StartError, match=words):
        build_encoder(find_start("scratch/simple-cnn"), BuildRequest(**request))


def test_sizes_that_would_be_cut_off_or_fail_are_refused():
    with pytest.raises(StartError, match=r"multiple of 16. Choose '96' or '112'"):
        build("vit_tiny_patch16_224", 100)
    with pytest.raises(StartError, match="multiple of 4"):
        build("vit-tiny", 30)
    with pytest.raises(StartError, match="fails on an input of shape"):
        build("inception_v3", 32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"builder": "tim"}, r"Unknown builder 'tim'.*Did you mean 'timm'"),
        ({"builder": "os.system"}, "Unknown builder"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"options": {"size": 28}}, "missing key 'channels'"),
        ({"options": {"channels": 1, "size": 28, "drop_path": 0.0, "evil": "x"}}, "unknown key"),
        ({"options": {"channels": "1", "size": 28, "drop_path": 0.0}}, "Option 'channels'.*'1'"),
        ({"options": {"channels": 1, "size": 10**9, "drop_path": 0.0}}, "Option 'size'"),
        ({"options": {"channels": True, "size": 28, "drop_path": 0.0}}, "Option 'channels'"),
        ({"preprocess": {"kind": "image", "size": 28}}, "missing key"),
        ({"start": None}, "Expected a JSON object"),
    ],
)
def test_rebuild_refuses_what_headstart_did_not_write(change, words):
    architecture = {**build("simple-cnn", 28).architecture, **change}
    with pytest.raises(StartError, match=words):
        rebuild_encoder(architecture)


@pytest.mark.parametrize("name", ["hf-hub:evil/model", "local-dir:/tmp", "resnt18"])
def test_rebuild_never_follows_a_name_out_of_timm(name):
    architecture = build("resnet10t", 64).architecture
    architecture = {**architecture, "options": {**architecture["options"], "name": name}}
    with pytest.raises(StartError, match="timm has no architecture"):
        rebuild_encoder(architecture)


SPEC = ImageSpec(16, 1, (0.5,), (0.25,), "bilinear", 16, 1)


def own_module() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, 6),
    )  # fmt: skip


def test_wrap_module_takes_a_module_of_ones_own():
    encoder = wrap_module(own_module(), SPEC, name="mine")
    assert encoder.num_features == 6
    assert encoder.start.address == "module/mine"
    assert encoder.start.family == "convnet"
    assert encoder.layers == [
        ["network.0.weight", "network.0.bias"],
        ["network.1.weight", "network.1.bias"],
        ["network.4.weight", "network.4.bias"],
    ]
    assert encoder.network[1].num_batches_tracked.item() == 0
    with pytest.raises(StartError, match="module=…"):
        rebuild_encoder(json.loads(json.dumps(encoder.architecture)))
    again = rebuild_encoder(encoder.architecture, own_module())
    again.load_state_dict(encoder.state_dict(), strict=True)
    with pytest.raises(StartError, match="takes no module"):
        rebuild_encoder(build("simple-cnn", 28).architecture, own_module())


def test_wrap_module_keeps_frozen_modes_and_places_direct_parameters_in_the_stem():
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.zeros(16))
            self.first, self.second = nn.Linear(16, 8), nn.Linear(8, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(images.mean((1, 2)) + self.token))

    module = Tokens()
    module.first.eval()
    encoder = wrap_module(module, SPEC)
    assert encoder.layers[0] == ["network.token", "network.first.weight", "network.first.bias"]
    assert (module.training, module.first.training, module.second.training) == (True, False, True)
    assert encoder.start.family == "mlp"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Conv2d(1, 4, 3), r"gives a tensor of shape \(2, 4, 14, 14\).*AdaptiveAvgPool2d"),
        (nn.Linear(3, 3), "fails on an input of shape"),
        (nn.LSTM(16, 3), "fails on an input|gives a tuple"),
    ],
)
def test_wrap_module_refuses_what_gives_no_features(module, words):
    with pytest.raises(StartError, match=words):
        wrap_module(module, SPEC)


def test_blocks_are_found_in_forward_order_and_tokens_where_there_are_some():
    vit = build("vit-tiny", 32)
    assert [name.rpartition(".")[0] for name in vit.blocks] == ["network.blocks"] * len(vit.blocks)
    assert [int(name.rpartition(".")[2]) for name in vit.blocks] == list(range(len(vit.blocks)))
    images = torch.rand(2, 3, 32, 32)
    assert vit.has_tokens
    assert vit.tokens(images).shape == (2, vit.network.patch_embed.num_patches, vit.num_features)
    convnet = build("resnet18", 32)
    assert len(convnet.blocks) == 8
    assert not convnet.has_tokens
    with pytest.raises(StartError, match="one vector a sample"):
        convnet.tokens(images)
