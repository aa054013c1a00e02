"""The hub: refused quickly when it cannot be reached, checked when it can."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants as hub
import pytest
import timm
import torch
from safetensors.torch import save_file

from headstart.errors import StartError
from headstart.starts import BuildRequest, build_encoder, find_start

ADDRESS = "timm/test_resnet.r160_in1k"
COMMIT = "0" * 40


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
    # a busy machine may stand still for as long as a user would wait
    monkeypatch.setattr("headstart.starts.weights.PROBE_SECONDS", 200.0)
    monkeypatch.setattr(hub, "HF_HUB_ETAG_TIMEOUT", 200)
    monkeypatch.setattr(hub, "HF_HUB_DOWNLOAD_TIMEOUT", 200)
    for name in ("NO_PROXY", "no_proxy"):  # whatever proxy this machine is behind
        monkeypatch.setenv(name, "127.0.0.1")
    return tmp_path / "cache"


def build(address: str = ADDRESS):
    return build_encoder(
        find_start(address), BuildRequest(image_size=(64, 64), image_channels=3)
    ).eval()


def test_offline_is_refused_at_once_and_names_what_is_usable(monkeypatch):
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    with pytest.raises(StartError) as caught:
        build("timm/resnet18")
    assert str(caught.value).startswith(
        "The weights of 'timm/resnet18' are not on this machine and the hub cannot be reached "
        "(HF_HUB_OFFLINE is set). Usable offline: 'pip/efficientnet-lite0', 'scratch/simple-cnn'"
    )


def test_a_dead_endpoint_is_refused_quickly(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "ENDPOINT", "http://127.0.0.1:9")
    connect, asked = socket.socket.connect, []

    def told(self: socket.socket, address: object) -> None:
        asked.append(address)
        connect(self, address)

    monkeypatch.setattr("socket.socket.connect", told)
    with pytest.raises(StartError, match=r"cannot be reached \(.*refused"):
        build()
    assert asked == [("127.0.0.1", 9)]  # once, where the hub's client tries for half a minute


def test_a_hub_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("headstart.starts.weights.PROBE_SECONDS", 0.3)
    answer = threading.Event()
    monkeypatch.setattr("headstart.starts.weights._ask_hub", lambda *_: answer.wait(200))
    with pytest.raises(StartError, match="no answer within"):
        build()
    answer.set()


def test_cached_weights_need_no_network(empty_cache: Path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not find_start(ADDRESS).is_local
    network = timm.create_model("test_resnet", pretrained=False).eval()
    repository = empty_cache / "models--timm--test_resnet.r160_in1k"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    save_file(network.state_dict(), snapshot / "model.safetensors")
    assert find_start(ADDRESS).is_local
    images = torch.randn(1, 3, 160, 160)
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(images), pre_logits=True)
        torch.testing.assert_close(build()(images), expected)


@pytest.fixture
def served(tmp_path: Path, monkeypatch) -> Iterator[dict[str, bytes]]:
    """A hub of one's own on this machine: it serves what the dict holds."""
    files: dict[str, bytes] = {}

    class Hub(BaseHTTPRequestHandler):
        def answer(self, with_body: bool) -> None:
            content = files.get(self.path.rpartition("/")[2])
            if self.path == "/":
                content = b"hub"
            self.send_response(200 if content is not None else 404)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            content = content or b""
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def do_HEAD(self) -> None:
            self.answer(False)

        def do_GET(self) -> None:
            self.answer(True)

        def log_message(self, *args: object) -> None:
            del args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        hub, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    yield files
    server.shutdown()
    server.server_close()
    thread.join()


def test_weights_come_from_a_reachable_hub(served, tmp_path: Path):
    network = timm.create_model("test_resnet", pretrained=False).eval()
    save_file(network.state_dict(), tmp_path / "out.safetensors")
    served["model.safetensors"] = (tmp_path / "out.safetensors").read_bytes()
    images = torch.randn(1, 3, 160, 160)
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(images), pre_logits=True)
        torch.testing.assert_close(build()(images), expected)
    assert find_start(ADDRESS).is_local


def test_a_hub_with_only_a_pickle_is_refused(served, tmp_path: Path, heard):
    served["pytorch_model.bin"] = b"pickle"
    words = r"has no model.safetensors, perhaps only a pickle.*'(timm/.*:)<file.safetensors>'"
    with pytest.raises(StartError, match=words) as refused:
        build()
    network = timm.create_model("test_resnet", pretrained=False)  # converted, as advised
    save_file(network.state_dict(), tmp_path / "own.safetensors")
    given = re.search(words, str(refused.value))
    assert given
    assert build(f"{given[1]}{tmp_path / 'own.safetensors'}").start.is_local
    heard(refused.value)


@pytest.mark.network
def test_real_pretrained_weights_classify_like_timm():
    encoder = build("timm/resnet18.a1_in1k")
    network = timm.create_model("resnet18.a1_in1k", pretrained=True, num_classes=0).eval()
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), network(images))
