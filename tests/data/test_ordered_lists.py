"""Classes of images in the order of their names: ImageNet's are read, others are never guessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from headstart.data import load
from headstart.errors import DataError

N = 30
RNG = np.random.default_rng(5)
WORDS = ["tench, Tinca tinca", "crane", "crane", "kit fox, Vulpes macrotis"]
IDS = ["n01440764", "n02012849", "n03126707", "n02119789"]
NUMBERS = [1 + i % 4 for i in range(N)]  # of image i + 1
TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def pictures(folder: Path, name: str = "ILSVRC2012_val_{:08d}.JPEG", first: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(N):
        image = Image.fromarray(RNG.integers(0, 256, (8, 8, 3)).astype(np.uint8))
        image.save(folder / name.format(first + i), "PNG" if name.endswith("png") else "JPEG")
    return folder


def truth(folder: Path, name: str = TRUTH) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(map(str, NUMBERS)) + "\n")


def meta(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")]
    rows = [(i + 1, IDS[i], WORDS[i]) for i in range(4)]
    savemat(folder / "meta.mat", {"synsets": np.array(rows, kinds)})


def labels(data: object) -> dict[int, str]:
    """Return the class of each image by the number in its name."""
    found = {}
    for part in (data.train, data.val, data.test):  # type: ignore[attr-defined]
        for i, target in enumerate(part.targets):
            name = part.samples.name(i).rsplit(".", 1)[0]
            found[int(name[-8:])] = data.schema.classes[target]  # type: ignore[attr-defined]
    return found


def test_the_ground_truth_is_read_by_the_numbers_of_the_images(tmp_path: Path) -> None:
    truth(pictures(tmp_path))
    (tmp_path / "synsets.txt").write_text("\n".join(sorted(IDS)))  # another order
    data = load(tmp_path)
    assert labels(data) == {i + 1: str(NUMBERS[i]) for i in range(N)}
    assert any("meta.mat" in finding.sentence for finding in data.findings)


def test_its_names_are_those_of_the_development_kit(tmp_path: Path) -> None:
    pictures(tmp_path / "images")
    truth(tmp_path / "ILSVRC2012_devkit_t12" / "data")
    meta(tmp_path / "ILSVRC2012_devkit_t12" / "data")
    data = load(tmp_path)
    names = ["tench", "crane (n02012849)", "crane (n03126707)", "kit fox"]
    assert labels(data) == {i + 1: names[NUMBERS[i] - 1] for i in range(N)}


def test_a_list_that_numbers_its_lines_from_one_names_them(tmp_path: Path) -> None:
    truth(pictures(tmp_path))
    (tmp_path / "labels.txt").write_text("1 fish\n2 bird\n3 machine\n4 fox\n")
    assert set(load(tmp_path).schema.classes) == {"fish", "bird", "machine", "fox"}


def test_val_goes_with_class_folders_of_train_by_wordnet_id(tmp_path: Path) -> None:
    for name in IDS:
        pictures(tmp_path / "train" / name)
    truth(pictures(tmp_path / "val"))
    meta(tmp_path)
    data = load(tmp_path)
    assert len(data.val.targets) == N
    place = {name: i for i, name in enumerate(data.schema.classes)}
    assert np.bincount(data.val.targets)[place[IDS[0]]] == NUMBERS.count(1)


@pytest.mark.parametrize("first", [0, 2])
def test_images_with_other_numbers_are_refused(first: int, tmp_path: Path) -> None:
    truth(pictures(tmp_path, first=first))
    with pytest.raises(DataError, match=f"{TRUTH}.*numbered from 1 to {N}"):
        load(tmp_path)


def words(folder: Path) -> None:
    (folder / "labels.txt").write_text("\n".join(["cat", "dog"][n % 2] for n in NUMBERS))


def numbers(folder: Path) -> None:
    truth(folder, "y.lst")


def as_json(folder: Path) -> None:
    (folder / "targets.json").write_text(json.dumps(NUMBERS))


def as_array(folder: Path) -> None:
    np.save(folder / "labels.npy", np.array(NUMBERS))


@pytest.mark.parametrize("write", [words, numbers, as_json, as_array])
@pytest.mark.parametrize("name", ["{:04d}.png", "DSC{:05d}.png"])
def test_any_other_list_is_refused_and_a_table_of_names_is_the_way_out(
    write: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    write(pictures(tmp_path, name))
    with pytest.raises(DataError, match=r"nothing says which line.*columns image and label"):
        load(tmp_path)
    rows = [f"{name.format(i + 1)},{NUMBERS[i]}" for i in range(N)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label", *rows]))
    for file in tmp_path.iterdir():
        if file.suffix in (".txt", ".lst", ".json", ".npy"):
            file.unlink()
    assert load(tmp_path).schema.classes == ("1", "2", "3", "4")


def test_a_list_of_another_length_is_none(tmp_path: Path) -> None:
    pictures(tmp_path, "{:04d}.png")
    (tmp_path / "notes.txt").write_text("cat\n" * (N + 1))
    with pytest.raises(DataError, match="no file that says their classes"):
        load(tmp_path)
