"""`test_client.py` and certificates: of an authority that it knows, and of others."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Iterator

import pytest
from conftest import ROOT, TIMEOUT_S
from websockets.sync.server import ServerConnection, serve

END = '{"op":"end","finish_reason":"stop","stats":{"tokens":1}}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `inference-core tls new` makes."""
    folder = tmp_path_factory.mktemp("tls")
    binary = ROOT / os.environ.get("INFERENCE_CORE_BIN", "target/debug/inference-core")
    subprocess.run([binary, "tls", "new", "--dir", folder], check=True, timeout=TIMEOUT_S)
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """A server with the certificate in the folder, which ends each answer at once."""

    def answer(socket: ServerConnection) -> None:
        socket.send('{"op":"hello"}')
        for _ in socket:
            socket.send(END)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with serve(answer, "127.0.0.1", 0, ssl=context) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "wss://localhost:{}".format(server.socket.getsockname()[1])
        server.shutdown()


def run(url: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "test_client.py"), "--url", url, "Once", *args]
    return subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, text=True)


def test_certificate_of_a_named_authority_is_trusted(url: str, folder: Path) -> None:
    done = run(url, "--ca", str(folder / "ca.pem"))
    assert done.returncode == 0, done.stderr


def test_certificate_of_an_unknown_authority_is_one_line_that_names_the_option(url: str) -> None:
    done = run(url)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert "is not trusted" in done.stderr and "--ca" in done.stderr, done.stderr


def test_file_without_a_certificate_is_named(url: str, folder: Path) -> None:
    for name in ("key.pem", "missing.pem"):
        done = run(url, "--ca", str(folder / name))
        assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
        assert name in done.stderr, done.stderr
