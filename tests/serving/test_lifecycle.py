"""A server from its start to its end: keys, draining, newer bundles, clients that go or dawdle."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from serving_process import SECONDS, ServingProcess

import headstart as hs
from headstart.errors import ExportError, OptionError, ProcessLost, RunFolderError
from headstart.recipes.keeping import keep, listen
from headstart.serving.running import _Running

ROW = b'[{"x": 1.0, "y": 0.5, "land": "AT", "when": "2024-01-01", "ok": "yes"}]'
# says at its end whether PyTorch is there
TELLS = "import atexit\natexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
KEY = "a-key-that-nobody-guesses"
# a model that takes a while, so that something is under way when the signal comes
SLOW = """
import time
import headstart.bundles.answering as answering
whole = answering.Bundle.run
def run(self, *given):
    time.sleep(0.5)
    return whole(self, *given)
answering.Bundle.run = run
"""


def wait_until(is_so) -> None:
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(scope="module")
def keyed(mlp_bundle, tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"another-key-of-somebody\n{KEY}\n")
    path.chmod(0o600)
    with ServingProcess(mlp_bundle[1], options=("--api-key-file", str(path))) as running:
        yield running


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer "},
    ],
)
def test_whoever_has_no_key_is_refused(keyed, headers):
    for method, path in (
        ("POST", "/v1/predict"),
        ("GET", "/v2"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
    ):
        status, told, body = keyed.ask(method, path, ROW if method == "POST" else None, **headers)
        assert (status, told["www-authenticate"]) == (401, "Bearer")
        assert list(json.loads(body)) == ["error"]


def test_a_key_opens_and_is_in_no_log(keyed):
    told = keyed.post("/v1/predict", ROW, Authorization=f"Bearer {KEY}")
    assert len(told["predictions"]) == 1
    assert KEY not in keyed.log
    assert keyed.get("/v2/health/ready") == {"ready": True}  # a balancer has no key
    assert keyed.ask("GET", "/")[0] == 200


def test_a_key_is_asked_for_before_the_body_comes(keyed):
    with keyed.connect() as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_two_keys_at_once_are_none(keyed):
    with keyed.connect() as connection:
        said = f"Authorization: Bearer {KEY}\r\n" * 2
        connection.sendall(f"GET /v2 HTTP/1.1\r\nHost: x\r\n{said}\r\n".encode())
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_others_are_not_let_in_without_a_key(mlp_bundle):
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(OptionError, match=r"no key is asked for; .* --insecure"):
            hs.serve([str(mlp_bundle[1])], host=host)


def test_the_advice_to_let_everybody_in_is_followed(mlp_bundle):
    options = ("--host", "0.0.0.0", "--insecure")
    with ServingProcess(mlp_bundle[1], options=options) as running:
        assert running.get("/v2/health/ready") == {"ready": True}


def test_key_files_that_others_read_or_that_hold_no_key_are_refused(mlp_bundle, tmp_path):
    path = tmp_path / "keys"
    with pytest.raises(OptionError, match=r"cannot be read .* Make one"):
        hs.serve([str(mlp_bundle[1])], api_key_file=str(path))
    path.write_text(KEY)
    path.chmod(0o644)
    with pytest.raises(OptionError, match=r"may be read by others \(mode 644\)"):
        hs.serve([str(mlp_bundle[1])], api_key_file=str(path))
    path.chmod(0o600)
    for content in ("", "short\n"):
        path.write_text(content)
        with pytest.raises(OptionError, match="16 or more ASCII characters"):
            hs.serve([str(mlp_bundle[1])], api_key_file=str(path))


def test_what_is_neither_run_nor_bundle_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match=r"neither a run folder .* nor a bundle"):
        hs.serve([str(tmp_path)])
    for port in (-1, 70_000):
        with pytest.raises(OptionError, match="expected 0 to 65535"):
            hs.serve([str(tmp_path)], port=port)


def test_a_changed_bundle_is_not_served(mlp_bundle, tmp_path):
    shutil.copytree(mlp_bundle[1], tmp_path / "rows")
    with (tmp_path / "rows" / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ExportError, match=r"model\.onnx is not what was exported"):
        hs.serve([str(tmp_path / "rows")], port=0)


def test_a_port_that_is_taken_is_told(mlp_bundle, keyed):
    with pytest.raises(OptionError, match=f"cannot listen at 127.0.0.1 port {keyed.port}"):
        hs.serve([str(mlp_bundle[1])], port=keyed.port)


def test_what_is_under_way_is_finished_and_the_end_is_clean(mlp_bundle):
    answers: list[int] = []

    def ask(running: ServingProcess) -> None:
        status, _, _ = running.ask("POST", "/v1/predict", ROW, content_type="application/json")
        answers.append(status)

    with ServingProcess(
        mlp_bundle[1], code=SLOW + TELLS, options=("--grace-seconds", "1")
    ) as running:
        asking = [threading.Thread(target=ask, args=(running,)) for _ in range(6)]
        for one in asking:
            one.start()
        time.sleep(0.2)
        running.process.send_signal(signal.SIGTERM)
        running.wait_for("Draining")
        assert running.ask("GET", "/v2/health/ready")[0] == 503  # so that a balancer sees it
        assert running.get("/v2/health/live") == {"live": True}
        for one in asking:
            one.join(SECONDS)
        assert running.process.wait(SECONDS) == 0
        assert answers == [200] * 6
        assert running.wait_for("^False$")
        with pytest.raises(ConnectionRefusedError):
            running.connect()
        with pytest.raises(ProcessLookupError):
            os.killpg(running.process.pid, 0)  # no process of it is left


def test_a_newer_bundle_takes_over_and_no_request_is_lost(mlp_bundle, tmp_path):
    bundle = mlp_bundle[1]
    place = tmp_path / "rows"
    shutil.copytree(bundle, tmp_path / "first")
    place.symlink_to("first")
    statuses: list[int] = []
    versions: set[str] = set()
    is_over = threading.Event()

    def ask(running: ServingProcess) -> None:
        while not is_over.is_set():
            status, _, told = running.ask(
                "POST", "/v1/predict", ROW, content_type="application/json"
            )
            statuses.append(status)
            versions.add(json.loads(told).get("version", ""))

    with ServingProcess(place) as running:
        asking = [threading.Thread(target=ask, args=(running,)) for _ in range(3)]
        for one in asking:
            one.start()
        wait_until(lambda: len(statuses) > 2)
        renamed = tmp_path / "second"
        shutil.copytree(bundle, renamed)
        record = json.loads((renamed / "bundle.json").read_text())
        record["temperature"] = record["members"][0]["temperature"] = 3.0
        (renamed / "bundle.json").write_text(json.dumps(record))
        from headstart.bundles import manifest_bytes

        (renamed / "MANIFEST.json").write_bytes(manifest_bytes(renamed))
        (tmp_path / "next").symlink_to("second")
        os.replace(tmp_path / "next", place)
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("Swapped: rows")
        wait_until(lambda: len(versions) == 2)
        # one that was damaged does not take over
        (renamed / "model.onnx").write_bytes(b"")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("Not swapped, the former bundles go on")
        former = len(statuses)
        wait_until(lambda: len(statuses) > former + 3)
        is_over.set()
        for one in asking:
            one.join(SECONDS)
    assert set(statuses) == {200}
    assert len(versions) == 2


def test_a_swap_that_is_asked_for_while_bundles_are_opened_waits(capsys):
    opening, may_go, seen = threading.Event(), threading.Event(), []

    class Shelf:
        """Opens what it is told to, slowly, and never two at once."""

        def __init__(self, found):
            self.found, self.num = list(found), 0

        def open_all(self):
            assert self.num == 0
            self.num += 1
            opening.set()
            assert may_go.wait(SECONDS)
            self.num -= 1
            found = self.found.pop(0)
            if isinstance(found, Exception):
                raise found
            return [SimpleNamespace(record=SimpleNamespace(name="rows"), version=found)]

        def serve(self, bundles):
            seen.append(bundles[0].version)

    async def work(found):
        running = _Running(Shelf(found), SimpleNamespace(should_exit=False))
        may_go.clear()
        running.begin(running.load("here"))
        await asyncio.to_thread(opening.wait, SECONDS)
        for _ in found[1:]:
            running.begin(running.swap())
        await asyncio.sleep(0.01)
        may_go.set()
        await asyncio.gather(*running._tasks)
        return running

    running = asyncio.run(work(["1", "2", "3"]))
    gc.unfreeze()  # a server's process is no test's
    assert seen == ["1", "2", "3"]
    assert running.failure is None
    told = capsys.readouterr().err.splitlines()
    assert told == ["Ready: rows 1 at here", "Swapped: rows 2", "Swapped: rows 3"]
    broken = asyncio.run(work([ExportError("It is broken."), "2"]))
    assert str(broken.failure) == "It is broken."
    assert seen == ["1", "2", "3"]  # a server that cannot begin ends
    assert not capsys.readouterr().err


@pytest.mark.slow
def test_the_process_that_serves_a_run_has_no_torch_and_exports_once(
    mlp_bundle, tmp_path, monkeypatch
):
    run, _ = mlp_bundle
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    with ServingProcess(run.path, code=TELLS) as running:
        found = running.post("/v1/predict", ROW)
        expected = run.predict(json.loads(ROW))[0]
        assert found["predictions"][0]["probability"] == pytest.approx(
            expected.probability, abs=1e-5
        )
        assert found["model"] == "run"
    assert running.log.endswith("Stopped.\nFalse\n")
    assert "Exports" in running.log
    entry = next(one for one in hs.cache().entries if one.kind == "bundles")
    assert entry.about == "run"
    with ServingProcess(run.path) as again:
        assert "Exports" not in again.log


def _kept_by(process: int) -> int:
    """Return the server that a process keeps."""
    (child,) = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return int(child)


def _is_there(process: int) -> bool:
    told = Path(f"/proc/{process}/stat")
    try:
        return told.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_server_that_crashes_is_started_again_and_what_comes_meanwhile_is_answered(mlp_bundle):
    with ServingProcess(mlp_bundle[1], options=("--restart",)) as running:
        first = _kept_by(running.process.pid)
        os.kill(first, signal.SIGSEGV)
        wait_until(lambda: running.ask("GET", "/v2/health/ready")[0] == 200)  # 503 while it loads
        assert len(running.post("/v1/predict", ROW)["predictions"]) == 1
        second = _kept_by(running.process.pid)
        assert second != first
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(SECONDS) == 0
        assert not _is_there(second)
    assert "The server has crashed (SIGSEGV); it is started again." in running.log
    assert running.log.count("Ready: ") == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_server_that_nobody_keeps_any_more_ends(mlp_bundle):
    with ServingProcess(mlp_bundle[1], options=("--restart",)) as running:
        server = _kept_by(running.process.pid)
        running.process.kill()
        wait_until(lambda: not _is_there(server))


def test_what_crashes_again_and_again_is_given_up(mlp_bundle, heard):
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with (
        listen("127.0.0.1", 0) as sock,
        pytest.raises(ProcessLost, match=r"crashed \(SIGKILL\) 5 times") as error,
    ):
        keep([sys.executable, "-S", "-c", crash], sock)
    assert hs.verify(str(mlp_bundle[1])).agreement.holds
    heard(error.value)
    with listen("127.0.0.1", 0) as sock, pytest.raises(SystemExit) as ended:
        keep([sys.executable, "-S", "-c", "import sys; sys.exit(7)"], sock)
    assert ended.value.code == 7


IMPATIENT = """
from dataclasses import replace
import headstart.serving.limits as limits
import headstart.serving as serving
made = limits.ServerLimits
serving.ServerLimits = lambda: replace(made(), header_seconds=0.4, body_seconds=0.4)
"""


def test_who_dawdles_is_cut_off_and_others_are_answered(mlp_bundle):
    with ServingProcess(mlp_bundle[1], code=IMPATIENT) as running:
        silent = [running.connect() for _ in range(20)]
        half = running.connect()
        half.sendall(b"GET /v2 HTTP/1.1\r\nHost:")
        body = running.connect()
        body.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n[{"
        )
        assert len(running.post("/v1/predict", ROW)["predictions"]) == 1
        for one in (*silent, half):
            with one:
                assert one.recv(100) == b""
        with body:
            assert body.recv(12) == b"HTTP/1.1 408"
        again = running.connect()
        again.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        with again:
            told = again.recv(4096)
            while b'{"live":true}' not in told:  # head and body may come one after the other
                told += again.recv(4096)
            assert told.startswith(b"HTTP/1.1 200")
            again.sendall(b"\r\n")  # which begins nothing, and must not keep it open
            assert again.recv(100) == b""
        strange = running.connect()
        strange.sendall(b"HELO there\r\n\r\n")
        with strange:
            told = strange.recv(4096)
            assert told.startswith(b"HTTP/1.1 400")
            assert list(json.loads(told.partition(b"\r\n\r\n")[2])) == ["error"]
        many = running.connect()
        many.sendall(b"GET /v2 HTTP/1.1\r\n" + b"X-Long: " + b"x" * 20_000 + b"\r\n")
        many.sendall(b"X-More: " + b"x" * 20_000 + b"\r\n\r\n")
        with many, contextlib.suppress(ConnectionResetError):
            assert many.recv(100).startswith(b"HTTP/1.1 431")


@pytest.mark.slow
def test_a_bundle_is_ready_after_a_second_and_a_half_of_work(mlp_bundle):
    def seconds() -> float:
        """Return what the process has worked once it is ready: others may use the machine."""
        with ServingProcess(mlp_bundle[1]) as running:
            told = Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2]
            ticks = told.split()
            return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")

    assert min(seconds() for _ in range(3)) <= 1.5
