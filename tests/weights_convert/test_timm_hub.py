"""Weights by their timm name, from a hub of our own: whole, resumed, damaged, out of reach."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import safetensors.numpy

from icm_jax.cli import main
from icm_jax.errors import IcmError
from icm_jax.recognizers.registry import WEIGHTS_VARIABLE
from tests.weights_convert.test_convert import eva02
from weights_convert.timm_hub import ENDPOINT_VARIABLE, fetch

NAME = "eva02_tiny_patch4_8.made_up"


class Hub(ThreadingHTTPServer):
    """Serves one file as the hub does; `asked` has the ranges of all requests for it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.data = safetensors.numpy.save(eva02(fused=True))
        self.sha256, self.asked, self.limit = hashlib.sha256(self.data).hexdigest(), [], None


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        hub = self.server
        if self.path == f"/api/models/timm/{NAME}?blobs=true":
            file = {"rfilename": "model.safetensors", "size": len(hub.data), "lfs": {"sha256": hub.sha256}}
            record = {
                "sha": "abc",
                "siblings": [{"rfilename": "README.md"}, file],
                "cardData": {"license": "mit"},
            }
            self.answer(200, json.dumps(record).encode())
        elif self.path == f"/timm/{NAME}/resolve/abc/model.safetensors":
            hub.asked.append(self.headers["Range"])
            first = int((self.headers["Range"] or "bytes=0-")[6:-1])
            self.answer(206 if first else 200, hub.data[first : hub.limit])
        else:
            self.send_error(404)

    def answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(ENDPOINT_VARIABLE, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "weights"))
    yield server
    server.shutdown()
    server.server_close()


def test_a_name_becomes_a_folder(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["convert", f"timm:{NAME}", "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.endswith("licence: mit\n")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["source"], manifest["model"], manifest["licence"]) == ("eva02", NAME, "mit")
    assert manifest["file"]["sha256"] == hub.sha256
    assert manifest["file"]["url"] == f"https://huggingface.co/timm/{NAME}"
    assert main(["convert", f"timm:{NAME}", "-o", str(tmp_path / "again")]) == 0
    assert hub.asked == [None]  # the second time from where the first left it


def test_what_was_cut_off_is_resumed(hub: Hub, tmp_path: Path):
    hub.limit = 1000
    with pytest.raises(IcmError, match=r"can not be fetched \(1000 of \d+ bytes came\); run again to go on"):
        fetch(NAME)
    hub.limit = None
    assert fetch(NAME).file.read_bytes() == hub.data
    assert hub.asked == [None, "bytes=1000-"]
    assert [file.name for file in (tmp_path / "weights").iterdir()] == [f"{NAME}.safetensors"]


def test_another_digest_is_refused(hub: Hub, tmp_path: Path):
    hub.sha256 = "0" * 64
    with pytest.raises(IcmError, match=r"has the digest \w{16}, its publisher says 0{16}; it was removed"):
        fetch(NAME)
    assert not list((tmp_path / "weights").iterdir())


def test_without_a_connection_one_line_says_what_to_place_where(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(ENDPOINT_VARIABLE, "http://127.0.0.1:9")  # nobody listens there
    name = "eva02_large_patch14_448.mim_m38m_ft_in22k"
    assert main(["convert", f"timm:{name}", "-o", str(tmp_path / "out")]) != 0
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "can not be fetched (" in message
    file = tmp_path / "weights" / f"{name}.safetensors"
    assert f"place model.safetensors of https://huggingface.co/timm/{name} at {file}" in message
    assert not (tmp_path / "out").exists()
    file.write_bytes(hub.data)
    assert fetch(f"timm:{name}").published.licence == "MIT"  # known without asking


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["timm:resnet18.a1_in1k", "-o", "out"], "these begin with eva02_, swin_"),
        ([f"timm:{NAME}", "a.pth", "-o", "out"], "fetches its file; give it without a.pth"),
        (["timm:eva02_no_such", "-o", "out"], "HTTP Error 404"),
    ],
)
def test_other_names(hub: Hub, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str):
    assert main(["convert", *arguments]) != 0
    assert message in capsys.readouterr().err
