"""Serve runs or bundles over HTTP until a signal ends it; PyTorch is not imported."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import ExportError, OptionError, RunFolderError
from headstart.events import emit, hushes, unheard
from headstart.extras import require_extra
from headstart.reporting.console import attached
from headstart.storage.cache import cache_limit, cache_root, new_entry, read_entry
from headstart.storage.records import find_record, refuse_start

if TYPE_CHECKING:
    from headstart.bundles.kinds import Opened

_TO_EXPORT = ("onnx", "onnxscript", "onnxruntime")
_PACKAGES = ("starlette", "uvicorn", "httptools", "orjson", "prometheus_client", "onnxruntime")
_LEAST_KEY = 16  # characters
_KIND = "bundles"
_TELL_SECONDS = 5.0


@hushes
def serve(
    runs: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    api_key_file: str | None = None,
    insecure: bool = False,
    grace_seconds: float = 3.0,
    quiet: bool = False,
    monitor_log: str | None = None,
    monitor_seconds: float = 60.0,
    restart: bool = False,
    request_log: str | None = None,
    signed_by: str | None = None,
) -> None:
    """Serve runs or bundles over HTTP, until a signal ends it.

    Answers by the Open Inference Protocol and at /v1/predict, shows a page to try a model at / and
    how to ask at /docs, tells Prometheus at /metrics, and whether what is asked has drifted at
    /v1/monitor. A run is exported to a bundle in the
    cache first. SIGTERM lets it finish what is under way, SIGHUP makes it open the bundles again
    and swap them in.

    Args:
        runs: Run folders, or bundles that 'headstart export RUN --to onnx' has written.
        host: Address to listen at.
        port: Port to listen at; 0 takes any that is free.
        api_key_file: File of keys, one a line, of which clients have to send one; it may be
            readable by its owner alone.
        insecure: Serve everybody who can reach an address other than this machine's own, without
            a key.
        grace_seconds: Seconds that it answers on after SIGTERM, while it says that it is not
            ready.
        quiet: Show no progress.
        monitor_log: File that gets a line of JSON a window of answers, with what 'headstart
            monitor' shows of it: figures, no inputs.
        monitor_seconds: Seconds from one window of answers that is compared with held-out samples
            to the next.
        restart: Serve in a process of its own, and start it again where it crashes.
        request_log: File that gets a line of JSON a request: its path, status, milliseconds,
            sizes, trace, and of a single sample the class that was answered; no inputs.
        signed_by: File with the public key, in PEM, that every bundle has to be signed with
            ('headstart sign').

    Raises:
        ProcessLost: If it crashes again and again soon after its start.
        PackageMissing: If one is that serving needs, or exporting the run.
        OptionError: If others could reach it without a key, the key file cannot be used, or the
            port is taken.
        RunFolderError: If something is neither a run nor a bundle.
        ExportError: If a run cannot be exported, or a bundle is not what was exported or signed.

    Example:
        >>> import headstart as hs
        >>> hs.serve(["runs/digits"])  # doctest: +SKIP
    """
    given = [runs] if isinstance(runs, str) else list(runs)
    _check(given, port, grace_seconds)
    log = None if monitor_log is None else Path(monitor_log)
    _check_monitoring(log, monitor_seconds)
    requests = None if request_log is None else Path(request_log)
    _check_log(requests, "--request-log")
    keys = [] if api_key_file is None else _read_keys(Path(api_key_file))
    if not keys and not insecure and not _is_loopback(host):
        raise OptionError(
            f"--host {host} can be reached by others, and no key is asked for; expected "
            "--api-key-file FILE with a key a line. Add it, or --insecure to let everybody in."
        )
    from headstart.recipes.keeping import keep, keeper, listen

    if restart:
        with listen(host, port) as sock:
            command = _command(
                given,
                host=host,
                api_key_file=api_key_file,
                insecure=insecure,
                grace_seconds=grace_seconds,
                quiet=quiet,
                monitor_log=monitor_log,
                monitor_seconds=monitor_seconds,
                request_log=request_log,
                signed_by=signed_by,
            )
            return keep(command, sock)
    trusted = None if signed_by is None else Path(signed_by)
    with attached():
        if trusted is not None:
            _refuse_runs(given)
        folders = [bundle_of(Path(one)) for one in given]
    with _uncollected(), _opening(folders, trusted) as opened:
        from headstart.serving import (
            RequestLog,
            ServerLimits,
            ServerMeasures,
            Shelf,
            WatchOptions,
            digest_of,
            run_server,
        )

        limits = replace(ServerLimits(), grace_seconds=grace_seconds)
        written = nullcontext() if requests is None else closing(RequestLog(requests))
        with listen(host, port) as sock, written as lines:
            watching = WatchOptions(monitor_seconds, log)
            shelf = Shelf(folders, limits, ServerMeasures(), watching, opened, trusted)
            with unheard():  # a server's log is no place for how far a request has been read
                run_server(shelf, sock, [digest_of(key) for key in keys], host, keeper(), lines)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no circles of objects until the server is ready (``running`` begins again).

    What is imported makes some hundred thousand objects that stay, and the collector would look
    at them again and again: a tenth of the time until a server is ready.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _opening(folders: Sequence[Path], signed_by: Path | None) -> Iterator[list[Opened]]:
    """Open and verify bundles beside whatever is done meanwhile.

    Digests and ONNX Runtime need no lock of the interpreter, imports of the server do.
    """
    from concurrent.futures import ThreadPoolExecutor

    from headstart.bundles.kinds import verify_any
    from headstart.cores import usable_cores

    with ThreadPoolExecutor(1, thread_name_prefix="opening") as thread:
        verify = partial(verify_any, num_threads=usable_cores(), signed_by=signed_by)
        yield [thread.submit(verify, folder) for folder in folders]


def _command(runs: Sequence[str], **options: object) -> list[str]:
    """Return the command that serves with these options, at a socket that it is given."""
    words = [sys.executable, "-m", "headstart", "serve"]
    for name, value in options.items():
        if value is not None and value is not False:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return [*words, "--", *runs]


def _check(given: Sequence[str], port: int, grace_seconds: float) -> None:
    require_extra("serve", "Serving", *_PACKAGES)
    if not given:
        raise OptionError(
            "Nothing to serve was named; expected run folders or bundles. Name one: headstart "
            "serve runs/mine."
        )
    if not 0 <= port <= 65535:
        raise OptionError(f"port is {port}; expected 0 to 65535. Choose another one.")
    if not 0 <= grace_seconds <= 600:
        raise OptionError(
            f"grace_seconds is {grace_seconds:g}; expected 0 to 600. Choose another number."
        )


def _check_monitoring(log: Path | None, seconds: float) -> None:
    """Refuse a log of windows that cannot be written, and windows at no known distance.

    Raises:
        OptionError: If so.
    """
    if not 0 <= seconds <= 86_400:
        raise OptionError(
            f"monitor_seconds is {seconds:g}; expected 0 to 86,400. Choose another number."
        )
    _check_log(log, "--monitor-log")


def _check_log(log: Path | None, option: str) -> None:
    """Refuse a log that cannot be written.

    Raises:
        OptionError: If so.
    """
    if log is None:
        return
    try:
        log.open("ab").close()
    except OSError as error:
        raise OptionError(
            f"{option} {log} cannot be written ({error.strerror or error}); expected a file "
            "in a folder that is there. Name another file."
        ) from error


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address  # which no help page needs, nor what a digest does

    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, whoever it may lead to
        return False


def _read_keys(path: Path) -> list[str]:
    """Return the keys of a file.

    Raises:
        OptionError: If it cannot be read, others may read it, or a key is short.
    """
    try:
        mode = path.stat().st_mode
        keys = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise OptionError(
            f"--api-key-file {path} cannot be read ({getattr(error, 'strerror', error)}); expected "
            "a file with a key a line. Make one: python3 -c 'import secrets; "
            f"print(secrets.token_urlsafe())' > {path}; chmod 600 {path}."
        ) from error
    if mode & 0o077:
        raise OptionError(
            f"--api-key-file {path} may be read by others (mode {mode & 0o777:o}); expected its "
            f"owner alone. Say chmod 600 {path}."
        )
    if not keys or min(map(len, keys)) < _LEAST_KEY or not all(key.isascii() for key in keys):
        raise OptionError(
            f"--api-key-file {path} holds {len(keys)} keys; expected at least one, each of "
            f"{_LEAST_KEY} or more ASCII characters. Make one: python3 -c 'import secrets; "
            f"print(secrets.token_urlsafe())' > {path}."
        )
    return keys


def _refuse_runs(given: Sequence[str]) -> None:
    """Refuse runs where bundles have to be signed: what is exported on the way nobody has signed.

    Raises:
        ExportError: If there is one.
    """
    for path in map(Path, given):
        if (path / "model.json").is_file() and not (path / "MANIFEST.json").is_file():
            raise ExportError(
                f"{path} is a run, and a run is not signed; expected a signed bundle beside "
                f"--signed-by. Export it (headstart export {path} --to onnx) and sign the bundle."
            )


def _refuse_none(task: object) -> None:
    del task  # a bundle of each is served


def bundle_of(path: Path, refuse: Callable[[object], None] = _refuse_none) -> Path:
    """Return a bundle as it is, of a run the bundle in the cache, which is made where it is not.

    Args:
        path: Of the bundle, or of the run.
        refuse: Refuses a run by its task, for whoever has no use for its bundle.

    Raises:
        RunFolderError: If it is neither, or a pretrained start.
        ExportError: If the run cannot be exported.
    """
    if (path / "MANIFEST.json").is_file():
        return path
    if not (path / "model.json").is_file():
        raise RunFolderError(
            f"{path} is neither a run folder (it has no model.json) nor a bundle (it has no "
            "MANIFEST.json). Give the --out of a run, or what 'headstart export RUN --to onnx' "
            "has written."
        )
    record = find_record(path, "model.json") or {}
    refuse_start(path, record)
    schema = record.get("schema")
    refuse(schema.get("task") if isinstance(schema, dict) else None)
    folder, name = cache_root() / _KIND / _digest(path), path.resolve().name
    if read_entry(folder) is not None:
        return folder / name
    require_extra("onnx", f"Serving {path}, which is exported first,", *_TO_EXPORT)
    text = (
        f"Exports {path} to a bundle in the cache, once: PyTorch is loaded and its exporter runs."
    )
    emit("note", text=text)
    size = 2 * sum(file.stat().st_size for file in path.rglob("*.safetensors"))
    root = folder.parent.parent
    with new_entry(
        folder,
        size,
        f"the bundle of {name}",
        lambda: read_entry(folder) is not None,
        limit_bytes=cache_limit(root),
    ) as (temporary, entry):
        entry["about"] = name
        _export(path, temporary / name)
    return folder / name


def _export(run: Path, out: Path) -> None:
    """Export a run in a process of its own, so that PyTorch is not in this one.

    Raises:
        ExportError: With its reason.
    """
    command = [sys.executable, "-m", "headstart", "export", str(run), "--to", "onnx"]
    began = time.monotonic()
    with subprocess.Popen(
        [*command, "--out", str(out), "--quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while True:
            try:
                _, said = process.communicate(timeout=_TELL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                seconds = time.monotonic() - began
                emit("note", text=f"Still exporting {run} ({seconds:.0f} s).")
            except BaseException:
                process.terminate()
                raise
    if process.returncode:
        told = said.strip().removeprefix("error: ") or f"exit code {process.returncode}"
        raise ExportError(f"{run} cannot be served: {told}")
    emit("note", text=f"Exported in {time.monotonic() - began:.0f} s.")


def _digest(run: Path) -> str:
    """Return a digest of what a run's bundle would be made of."""
    from hashlib import blake2b

    state = blake2b(f"{version('headstart')} {run.resolve().name}".encode(), digest_size=16)
    names = sorted(run.glob("**/model.json")) + sorted(run.glob("**/*.safetensors"))
    names += [run / "metrics.json"] if (run / "metrics.json").is_file() else []
    for path in names:
        if "state" in path.relative_to(run).parts:
            continue
        state.update(json.dumps(path.relative_to(run).as_posix()).encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                state.update(block)
    return state.hexdigest()
