"""What is advised before a server listens, and what it advises whoever asks, is followed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from advised import Case, in_extra
from test_batching import Doubling, ask, batcher

import headstart as hs
from headstart import extras
from headstart.bundles import manifest_bytes, open_bundle
from headstart.errors import OptionError
from headstart.serving import ServerLimits, ServerMeasures, Shelf
from headstart.serving.refusals import Refusal


@dataclass(frozen=True)
class Place:
    """A folder of a case, a run, and its bundle."""

    folder: Path
    run: Path
    bundle: Path

    def keys(self, content: str, mode: int = 0o600) -> str:
        path = self.folder / "keys"
        path.write_text(content)
        path.chmod(mode)
        return str(path)


def served(place: Place, *folders: Path | str, **said: Any) -> list[str]:
    """Serve up to the moment when the models are ready: return their names.

    That it then listens and answers is seen in test_lifecycle.py, in a process of its own.
    """
    ready: list[str] = []

    def run(shelf: Shelf, *_: Any) -> None:
        shelf.serve(shelf.open_all())
        assert shelf.is_ready
        ready.extend(model.name for model in shelf.models)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headstart.serving.run_server", run)
        hs.serve([str(one) for one in folders or (place.bundle,)], **{"port": 0, **said})
    assert ready
    return ready


def as_told(place: Place, wrong: Callable[[], Any]) -> Any:
    """Type the commands that a refusal of a key file says, and serve with it."""
    with pytest.raises(OptionError) as refused:
        wrong()
    told = re.search(r"(?:Make one|Say):? (.*)\.$", str(refused.value))
    assert told
    command = told[1].replace("python3", shlex.quote(sys.executable), 1)
    mask = os.umask(0o077)
    try:
        subprocess.run(["bash", "-c", command], check=True, cwd=place.folder)
    finally:
        os.umask(mask)
    return served(place, api_key_file=str(place.folder / "keys"))


def taken(place: Place) -> Any:
    """Serve at a port where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        return served(place, port=other.getsockname()[1])


def without_extra(place: Place) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extras, "find_spec", lambda name: None if name == "uvicorn" else object())
        return served(place)


def two(place: Place, name: str) -> list[str]:
    """Serve the bundle and a copy of it, whose record has another name or the same."""
    copy = Path(shutil.copytree(place.bundle, place.folder / "copy"))
    record = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").write_text(json.dumps({**record, "name": name or record["name"]}))
    (copy / "MANIFEST.json").write_bytes(manifest_bytes(copy))
    return served(place, place.bundle, copy)


def found(place: Place, name: str | None) -> Any:
    """Ask a shelf of two models for one."""
    one = open_bundle(place.bundle)
    other = replace(one, record=replace(one.record, name="other"))
    shelf = Shelf([], ServerLimits(), ServerMeasures())
    shelf.serve([one, other])
    return shelf.find(name)


def busy(place: Place, *, waits: bool) -> Any:
    """Ask a server that is full, at once or when it has room again."""
    bundle = Doubling()

    async def work() -> float:
        one = batcher(bundle, waiting_rows=4)
        bundle.may_go.clear()
        asked = [asyncio.create_task(ask(one, 1.0)) for _ in range(4)]
        await asyncio.sleep(0.01)
        try:
            if not waits:
                await ask(one, 1.0)
        finally:
            bundle.may_go.set()
            await asyncio.gather(*asked)
        return await ask(one, 1.0)

    assert asyncio.run(work()) == 4.0
    return True


KEY = "a-key-that-nobody-guesses\n"
CASES = {
    "others and no key": Case(
        lambda p: served(p, host="0.0.0.0"),
        "Add it, or --insecure to let everybody in",
        lambda p: (
            served(p, host="0.0.0.0", api_key_file=p.keys(KEY))
            and served(p, host="0.0.0.0", insecure=True)
        ),
    ),
    "no extra": Case(
        without_extra,
        r"Serving needs 'uvicorn', which .* Install it: .*headstart\[serve\]",
        lambda p: in_extra("uvicorn", "serve") and served(p),
    ),
    "nothing to serve": Case(
        lambda _: hs.serve([]), "Name one: headstart serve runs/mine", served
    ),
    "no port": Case(
        lambda p: served(p, port=70_000), "expected 0 to 65535. Choose another", served
    ),
    "an endless grace": Case(
        lambda p: served(p, grace_seconds=1e4),
        "expected 0 to 600. Choose another number",
        lambda p: served(p, grace_seconds=600),
    ),
    "no file of keys": Case(
        lambda p: served(p, api_key_file=str(p.folder / "keys")),
        "cannot be read .* Make one",
        lambda p: as_told(p, lambda: served(p, api_key_file=str(p.folder / "keys"))),
    ),
    "keys that others may read": Case(
        lambda p: served(p, api_key_file=p.keys(KEY, 0o644)),
        "may be read by others .* Say chmod 600",
        lambda p: as_told(p, lambda: served(p, api_key_file=p.keys(KEY, 0o644))),
    ),
    "a short key": Case(
        lambda p: served(p, api_key_file=p.keys("short\n")),
        "expected at least one, each of 16 or more .* Make one",
        lambda p: as_told(p, lambda: served(p, api_key_file=p.keys("short\n"))),
    ),
    "neither run nor bundle": Case(
        lambda p: served(p, p.folder),
        "Give the --out of a run, or what 'headstart export RUN --to onnx'",
        served,
    ),
    "a port that is taken": Case(
        taken, "Say another --port or --host", lambda p: served(p, port=0)
    ),
    "two of one name": Case(
        lambda p: two(p, ""),
        "Rename the folder of one run, or export it with --out",
        lambda p: len(two(p, "other")) == 2,
    ),
    "which of two": Case(
        lambda p: found(p, None),
        r"Say which model: one of .*, other, as",
        lambda p: found(p, "other"),
        Refusal,
    ),
    "a busy server": Case(
        lambda p: busy(p, waits=False),
        "The server is busy: 4 rows .* Try again in a second",
        lambda p: busy(p, waits=True),
        Refusal,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_serving_helps(name: str, mlp_bundle, follow, heard) -> None:
    run, bundle = mlp_bundle
    follow(CASES[name], place=lambda folder: Place(folder, run.path, bundle))
