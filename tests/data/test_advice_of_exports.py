"""Advice about archives, exports of tools and lists of images: followed, and then they are read."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from advised import TEXTS, Case, N, Y, csv, frame, jsonl, photos

from headstart.data import load

NAMES = [f"{i:03d}.png" for i in range(N)]
NAMED = pd.DataFrame({"image": NAMES, "label": Y})


def flat(folder: Path) -> Path:
    return Path(photos(folder, lambda i: NAMES[i]))


def addresses(folder: Path, **columns: Any) -> Any:
    table = frame(picture=[f"https://a.example/{name}" for name in NAMES], **columns)
    return csv(folder, table)


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("a.csv", frame().to_csv(index=False))
    return folder / "a.zip"


def in_a_small_place(folder: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        usage = shutil.disk_usage(folder)._replace(free=1000)
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        return load(zipped(folder))


def in_another_place(folder: Path) -> Any:
    """Let TMPDIR name a place with room, in a process that begins so."""
    with pytest.MonkeyPatch.context() as patch:
        (folder / "room").mkdir()
        patch.setattr("tempfile.tempdir", str(folder / "room"))
        data = load(zipped(folder))
    assert list((folder / "room").iterdir())
    return data


def onto_a_full_disk(folder: Path) -> Any:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        return load(zipped(folder))


def unpacked(folder: Path) -> Any:
    zipfile.ZipFile(zipped(folder)).extractall(folder / "unpacked")
    return load(folder / "unpacked" / "a.csv")


def shards(folder: Path, first: str) -> Any:
    """Return a tar of WebDataset, whose first label is this text."""
    flat(folder / "raw")
    with tarfile.open(folder / "train.tar", "w") as archive:
        for i in range(N):
            (folder / "raw" / f"{i:03d}.json").write_text(first if i == 0 else f'"{Y[i]}"')
            for suffix in ("png", "json"):
                archive.add(folder / "raw" / f"{i:03d}.{suffix}", f"{i:03d}.{suffix}")
    return load(folder / "train.tar")


def argilla(folder: Path, **said: Any) -> Any:
    rows = [
        {"id": str(i), "status": "completed", "text": TEXTS[i]}
        | {f"{name}.responses": [Y[i]] for name in ("mood", "topic")}
        | {f"{name}.responses.status": ["submitted"] for name in ("mood", "topic")}
        for i in range(N)
    ]
    return load(jsonl(folder, rows), **said)


def studio(folder: Path, kind: str = "choices", controls: tuple[str, ...] = ("mood",), **said: Any):
    tasks = [
        {
            "id": i,
            "data": {"text": TEXTS[i]},
            "annotations": [
                {
                    "id": i,
                    "was_cancelled": False,
                    "result": [
                        {"from_name": c, "to_name": "text", "type": kind}
                        | {"value": {kind: [str(Y[i])]}}
                        for c in controls
                    ],
                }
            ],
        }
        for i in range(N)
    ]
    (folder / "a.json").write_text(json.dumps(tasks))
    return load(folder / "a.json", **said)


def studio_rows(folder: Path, **said: Any) -> Any:
    about = {"annotator": 1, "annotation_id": range(N), "created_at": "2024-05-01T10:00:00Z"}
    about |= {"updated_at": "2024-05-01T10:00:00Z", "lead_time": 3.5, "id": range(N)}
    table = pd.DataFrame({"text": TEXTS, "mood": Y, "topic": Y[::-1], **about})
    return load(csv(folder, table), **said)


def manifest(folder: Path, **said: Any) -> Any:
    rows = [
        {"source": TEXTS[i]}
        | dict.fromkeys(("mood", "topic"), i % 2)
        | {
            f"{name}-metadata": {"class-name": Y[i], "type": "groundtruth/text"}
            for name in ("mood", "topic")
        }
        for i in range(N)
    ]
    return load(jsonl(folder, rows, "output.manifest"), **said)


def cats(folder: Path, soft: float, **said: Any) -> Any:
    rows = [{"text": TEXTS[i], "cats": {"no": 1.0 - i % 2, "yes": float(i % 2)}} for i in range(N)]
    rows[3]["cats"] = {"no": 1 - soft, "yes": soft}  # type: ignore[assignment]
    return load(jsonl(folder, rows), **said)


def listed(folder: Path, *names: str) -> Path:
    flat(folder)
    for k, name in enumerate(names):
        lines = [f"{NAMES[i]} {Y[(i + k) % N]}" for i in range(N)]
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def in_order(folder: Path) -> Path:
    flat(folder)
    (folder / "classes_of_images.txt").write_text("\n".join(Y) + "\n")
    return folder


def imagenet(folder: Path, number: int = N, meta: bytes | None = None) -> Any:
    photos(folder / "val", lambda i: f"ILSVRC2012_val_{i + 1:08d}.png", number)
    photos(folder / "train", lambda i: f"{1 + i % 2}/{i}.png")
    lines = "\n".join(str(1 + i % 2) for i in range(N))
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(lines + "\n")
    if meta is not None:
        (folder / "meta.mat").write_bytes(meta)
    return load(folder)


CASES = {
    "addresses, downloaded": Case(
        lambda f: load(addresses(f)),
        "Download the pictures into .* or a folder 'images' in it",
        lambda f: load(str(flat(f / "images") and addresses(f))),
    ),
    "addresses, left out": Case(
        lambda f: load(addresses(f)),
        "say --drop picture",
        lambda f: load(addresses(f), drop=["picture"]),
    ),
    "archive on a full disk": Case(
        onto_a_full_disk, "Unpack it yourself and give the folder, or the table in it", unpacked
    ),
    "archive without room": Case(
        in_a_small_place,
        "Unpack it where there is room and give the folder, or the table",
        unpacked,
    ),
    "archive elsewhere": Case(
        in_a_small_place, "or let TMPDIR name another place", in_another_place
    ),
    "a label that is no JSON": Case(
        lambda f: shards(f, "{"), "is no JSON: .* Correct it", lambda f: shards(f, f'"{Y[0]}"')
    ),
    "two questions of Argilla": Case(argilla, "--label mood", lambda f: argilla(f, label="mood")),
    "two controls of Label Studio": Case(
        lambda f: studio(f, controls=("mood", "topic")),
        "--label mood",
        lambda f: studio(f, controls=("mood", "topic"), label="mood"),
    ),
    "Label Studio without choices": Case(
        lambda f: studio(f, kind="textarea"), "Export a project that classifies", studio
    ),
    "rows of Label Studio": Case(
        studio_rows, "--label mood", lambda f: studio_rows(f, label="mood")
    ),
    "two jobs of Ground Truth": Case(manifest, "--label mood", lambda f: manifest(f, label="mood")),
    "soft labels of spaCy": Case(
        lambda f: cats(f, 0.7),
        "Say --task classification to learn the largest",
        lambda f: cats(f, 0.7, task="classification"),
    ),
    "two lists of one split": Case(
        lambda f: load(listed(f, "labels.txt", "list.txt")),
        "Keep one of them, and move the others elsewhere",
        lambda f: load(listed(f, "labels.txt")),
    ),
    "classes in an order": Case(
        lambda f: load(in_order(f)),
        "Write a CSV with the columns image and label beside the images",
        lambda f: load(csv(flat(f), NAMED, "labels.csv") and f),
    ),
    "a ground truth of other images": Case(
        lambda f: imagenet(f, number=N - 5), "Give all of them under their own names", imagenet
    ),
    "a development kit that is none": Case(
        lambda f: imagenet(f, meta=b"no kit"),
        "or remove it: the classes are numbers then",
        imagenet,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_an_export_reads_it(name: str, follow, heard) -> None:
    follow(CASES[name])
