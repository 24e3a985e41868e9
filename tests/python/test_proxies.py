"""The daemon behind nginx and Caddy, with the configurations in `packaging/proxies`.

NGINX and CADDY name the programs; the default is to look for them in PATH. The tests of a program
that is missing are skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from conftest import ROOT, TIMEOUT_S, Daemon, eventually

HOST = "chat.example.org"
PROXIES = ["nginx", "caddy"]


class Proxy:
    """A proxy in front of the server on `upstream`, with a certificate of its own authority."""

    def __init__(self, name: str, upstream: int, folder: Path) -> None:
        program = os.environ.get(name.upper()) or shutil.which(name)
        if not program:
            pytest.skip(f"{name} is not installed")
        binary = ROOT / os.environ.get("INFERENCE_CORE_BIN", "target/debug/inference-core")
        self.tls = folder / "tls"
        subprocess.run([binary, "tls", "new", HOST, "--dir", self.tls], check=True)
        self.port = free_port()
        arguments = START[name](self, upstream, folder)
        self.log = (folder / f"{name}.log").open("w+")
        self.process = subprocess.Popen([program, *arguments], stdout=self.log, stderr=self.log)
        eventually(self._listens, f"{name} listens")

    def _listens(self) -> bool:
        if self.process.poll() is not None:
            self.log.seek(0)
            pytest.fail(self.log.read())
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(TIMEOUT_S)
        self.log.close()

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.tls / "ca.pem")

    def stream(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S)
        return self.context().wrap_socket(plain, server_hostname=HOST)

    def websocket(self, **options: Any) -> Any:
        return connect(
            f"wss://{HOST}:{self.port}/", sock=self.stream_without_tls(), ssl=self.context(),
            proxy=None, **options,
        )

    def stream_without_tls(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S)

    def get(self, path: str) -> str:
        with self.stream() as stream:
            head = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{self.port}\r\nConnection: close\r\n\r\n"
            stream.sendall(head.encode())
            return b"".join(iter(lambda: stream.recv(65536), b"")).decode()


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def with_own_values(proxy: Proxy, name: str, upstream: int) -> str:
    """The packaged configuration with the ports and the certificate of the test."""
    text = (ROOT / "packaging" / "proxies" / name).read_text()
    for example, value in [
        ("127.0.0.1:3000", f"127.0.0.1:{upstream}"),
        ("listen 443 ssl", f"listen 127.0.0.1:{proxy.port} ssl"),
        (f"\n{HOST} {{", f"\nhttps://{HOST}:{proxy.port} {{"),
        ("/etc/nginx/", f"{proxy.tls}/"),
        ("/etc/caddy/", f"{proxy.tls}/"),
    ]:
        text = text.replace(example, value)
    return text


def start_nginx(proxy: Proxy, upstream: int, folder: Path) -> list[str]:
    folders = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{folders}"
        f"{with_own_values(proxy, 'nginx.conf', upstream)}\n}}\n"
    )
    return ["-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def start_caddy(proxy: Proxy, upstream: int, folder: Path) -> list[str]:
    text = with_own_values(proxy, "Caddyfile", upstream)
    options = "{\n\tadmin off\n\tauto_https disable_redirects\n\tpersist_config off\n}\n\n"
    (folder / "Caddyfile").write_text(options + text)
    return ["run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


START: dict[str, Callable[[Proxy, int, Path], list[str]]] = {
    "nginx": start_nginx,
    "caddy": start_caddy,
}


@pytest.fixture(params=PROXIES)
def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Proxy, Daemon]]:
    name = request.param
    if not (os.environ.get(name.upper()) or shutil.which(name)):
        pytest.skip(f"{name} is not installed")
    options = ["--trusted-proxy", "127.0.0.1", "--allow-host", HOST, "--log", "info"]
    daemon = Daemon("--demo", "--threads", "1", *options)
    try:
        proxy = Proxy(name, daemon.port, tmp_path)
        try:
            yield proxy, daemon
        finally:
            proxy.stop()
    finally:
        daemon.kill()


def test_answer_streams_through_the_proxy(proxied: tuple[Proxy, Daemon]) -> None:
    proxy, daemon = proxied
    origin = f"https://{HOST}:{proxy.port}"
    forged = {"X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6"}
    with proxy.websocket(origin=origin, additional_headers=forged) as client:
        client.send(json.dumps({"op": "infer", "prompt": "Once", "params": {"max_tokens": 40,
                                "ignore_eos": True}}))
        frames = [json.loads(client.recv(TIMEOUT_S))]
        while frames[-1]["op"] != "end":
            frames.append(json.loads(client.recv(TIMEOUT_S)))
    assert frames[-1]["stats"]["tokens"] == 40
    ended = eventually(
        lambda: re.search(r"peer=(\S+?)\}.*ended: ", "".join(daemon.output)), "the end is logged"
    )
    assert ended.group(1) == "127.0.0.1", "the client of the proxy, without a port"


def test_pages_and_refusals_pass_the_proxy(proxied: tuple[Proxy, Daemon]) -> None:
    proxy, _ = proxied
    response = proxy.get("/readyz")
    assert response.startswith("HTTP/1.1 200"), response
    assert "nosniff" in response
    with pytest.raises(InvalidStatus) as refused:
        proxy.websocket(origin="https://evil.example")
    assert refused.value.response.status_code == 403
    assert b"--allow-origin https://evil.example" in (refused.value.response.body or b"")


class Events(BaseHTTPRequestHandler):
    """Sends an event, and the next one when the test says so."""

    may_continue: threading.Event
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: first\n\n")
        self.wfile.flush()
        self.may_continue.wait(TIMEOUT_S)
        self.wfile.write(b"data: second\n\n")
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("name", PROXIES)
def test_server_sent_events_are_not_held_back(name: str, tmp_path: Path) -> None:
    Events.may_continue = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Events)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        proxy = Proxy(name, server.server_port, tmp_path)
        try:
            with proxy.stream() as stream:
                stream.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}:{proxy.port}\r\n\r\n".encode())
                received = b""
                deadline = time.monotonic() + TIMEOUT_S
                while b"first" not in received and time.monotonic() < deadline:
                    received += stream.recv(65536)
                assert b"first" in received and b"second" not in received, received
                Events.may_continue.set()
                while b"second" not in received:
                    more = stream.recv(65536)
                    assert more, received
                    received += more
        finally:
            proxy.stop()
    finally:
        Events.may_continue.set()
        server.shutdown()
