"""`test_client.py` and plain `websockets` scripts against the real daemon."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import IO, Any, Optional

import pytest
from conftest import TIMEOUT_S, ROOT, Daemon, eventually
from websockets.exceptions import ConnectionClosed

ENDLESS = ("--param", "ignore_eos=true")
# Makes all tokens nearly equally probable, so the text has unusual bytes and characters. Such a flat
# distribution is sensitive to rounding, which differs between cached and prefilled prompts.
RANDOM_TEXT = ("--temp", "10", "--param", "top_k=0", "--param", "top_p=1", "--param", "min_p=0",
            "--param", "cache_prompt=false")


def arguments(daemon: Daemon, *args: str) -> list[str]:
    return [sys.executable, str(ROOT / "test_client.py"), "--url", daemon.url, *args]


def run(daemon: Daemon, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the client until it exits. Output that is not valid UTF-8 fails the test."""
    done = subprocess.run(
        arguments(daemon, *args), input=stdin.encode(), capture_output=True, timeout=TIMEOUT_S
    )
    stdout, stderr = done.stdout.decode(), done.stderr.decode()
    return subprocess.CompletedProcess(done.args, done.returncode, stdout, stderr)


def start(daemon: Daemon, *args: str) -> subprocess.Popen[bytes]:
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(arguments(daemon, *args), **pipes)


def read_until(pipe: IO[bytes], wanted: str) -> str:
    """Reads a program's output until it contains `wanted`."""
    os.set_blocking(pipe.fileno(), False)
    seen = b""

    def found() -> bool:
        nonlocal seen
        seen += pipe.read() or b""
        return wanted in seen.decode(errors="replace")

    eventually(found, f"{wanted!r} in the output")
    return seen.decode(errors="replace")


def frames(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.split("\n") if line]


def joined(output: str) -> str:
    return "".join(frame["content"] for frame in frames(output) if frame["op"] == "token")


def line(text: str) -> str:
    """Adds a final newline if there is none, as the client does."""
    return text if text.endswith("\n") else text + "\n"


def test_readme_script_streams_text_and_exits(daemon: Daemon) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    script = next(block for block in blocks if "websockets" in block)
    assert "localhost:3000" in script
    script = script.replace("localhost:3000", f"127.0.0.1:{daemon.port}")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().strip()


def test_answer_is_on_stdout_and_statistics_on_stderr(daemon: Daemon) -> None:
    done = run(daemon, "Once upon a time", "--max-tokens", "20")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert re.search(r"^\d+ tokens · [\d.]+ tokens/s · first token after \d+ ms · \w+$", done.stderr)


def test_prompt_is_read_from_a_pipe(daemon: Daemon) -> None:
    options = ("--max-tokens", "20", "--temp", "0")
    done = run(daemon, *options, stdin="Once upon a time")
    assert done.returncode == 0, done.stderr
    assert done.stdout == run(daemon, "Once upon a time", *options).stdout


def test_chat_message_is_answered(daemon: Daemon) -> None:
    done = run(daemon, "--chat", "Hola, ¿cómo estás?", "--temp", "0", "--max-tokens", "100")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_max_tokens_limits_the_number_of_tokens(daemon: Daemon) -> None:
    done = run(daemon, "Once", "--max-tokens", "5", *ENDLESS, "--json")
    end = frames(done.stdout)[-1]
    assert (end["op"], end["finish_reason"], end["stats"]["tokens"]) == ("end", "length", 5)


def test_temperature_zero_gives_the_same_text_twice(daemon: Daemon) -> None:
    one, two = (run(daemon, "Once", "--temp", "0", "--max-tokens", "40") for _ in range(2))
    assert one.returncode == 0, one.stderr
    assert one.stdout == two.stdout


def test_same_seed_gives_the_same_text_and_another_seed_does_not(daemon: Daemon) -> None:
    one, two, other = (
        run(daemon, "Once", *RANDOM_TEXT, "--seed", seed, "--max-tokens", "40").stdout
        for seed in ("1", "1", "2")
    )
    assert one == two
    assert one != other


def test_stop_string_is_not_part_of_the_answer(daemon: Daemon) -> None:
    options = ("Once upon a time", "--temp", "0", "--max-tokens", "40")
    text = joined(run(daemon, *options, "--json").stdout)
    stop = text[len(text) // 2 :][:3]
    cut = joined(run(daemon, *options, "--stop", stop, "--json").stdout)
    assert cut == text[: text.index(stop)]


@pytest.mark.parametrize("seed", range(5))
def test_unusual_characters_are_printed_as_sent_and_as_valid_utf8(
    daemon: Daemon, seed: int
) -> None:
    options = ("¿Qué tal? 🐕‍🦺", *RANDOM_TEXT, *ENDLESS, "--seed", str(seed), "--max-tokens", "200")
    plain, sent = run(daemon, *options), run(daemon, *options, "--json")
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout == line(joined(sent.stdout))
    assert not plain.stdout.isascii()


def test_metrics_are_shown_until_ctrl_c(daemon: Daemon) -> None:
    client = start(daemon, "--metrics")
    assert client.stdout is not None
    read_until(client.stdout, "idle")
    client.send_signal(signal.SIGINT)
    assert client.wait(TIMEOUT_S) == 0


def test_metrics_with_json_are_frames(daemon: Daemon) -> None:
    client = start(daemon, "--metrics", "--json")
    assert client.stdout is not None
    frame = json.loads(read_until(client.stdout, "\n").split("\n")[0])
    client.send_signal(signal.SIGINT)
    assert client.wait(TIMEOUT_S) == 0
    assert frame["op"] == "metrics"
    assert abs(frame["timestamp"] - time.time()) < TIMEOUT_S
    assert "gpu" in frame
    for name in ("last_tps", "last_ttft_ms", "total_tokens_generated"):
        assert name in frame["inference"]


def interrupted(daemon: Daemon) -> Optional[int]:
    """Exit code of a client that gets Ctrl-C during an answer.

    None if the answer was complete before the daemon was suspended.
    """
    client = start(daemon, "Once upon a time", *ENDLESS)
    assert client.stdout is not None and client.stderr is not None
    eventually(lambda: client.stdout.read(1), "the first text")
    # A suspended daemon cannot finish the answer before the client sends its abort.
    daemon.suspend()
    client.send_signal(signal.SIGINT)
    output = read_until(client.stderr, "\n")
    daemon.resume()
    output += client.communicate(timeout=TIMEOUT_S)[1].decode()
    if "· length" in output:
        return None
    assert "stopping" in output and "· abort" in output, output
    return client.returncode


def test_ctrl_c_aborts_the_request_and_frees_its_slot(own_daemon: Daemon) -> None:
    assert eventually(lambda: interrupted(own_daemon), "an answer that Ctrl-C stops") == 130
    with own_daemon.connect() as watcher:
        eventually(lambda: watcher.receive("metrics")["inference"]["active"] == 0, "active is 0")


def test_server_error_is_one_line_with_exit_code_1(daemon: Daemon) -> None:
    done = run(daemon, "Once", "--temp", "11")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"error: .*temp.* \(invalid_params\)\n", done.stderr)


def test_requests_of_the_client_get_no_warnings(daemon: Daemon) -> None:
    options = ("--max-tokens", "1", "--temp", "0", "--seed", "1", "--stop", "x", "--json",
               "--param", "top_k=20", "--param", "ignore_eos=true")
    for mode in ((), ("--chat",), ("--system", "Be brief.")):
        end = frames(run(daemon, "Once", *options, *mode).stdout)[-1]
        assert end["op"] == "end" and "warnings" not in end, end


def test_unknown_parameter_is_a_warning_below_the_statistics(daemon: Daemon) -> None:
    done = run(daemon, "Once", "--max-tokens", "1", "--param", "top_kk=20")
    assert done.returncode == 0
    assert re.search(r"\nwarning: params\.top_kk is ignored: .*params\.top_k\?\n$", done.stderr)


def test_refused_host_is_one_line_with_the_reason_and_exit_code_3(daemon: Daemon) -> None:
    url = f"ws://0.0.0.0:{daemon.port}"
    client = [sys.executable, str(ROOT / "test_client.py"), "Once", "--url", url]
    done = subprocess.run(client, capture_output=True, timeout=TIMEOUT_S, text=True)
    assert done.returncode == 3
    assert re.fullmatch(r"error: .* HTTP 403, Host must name .* --allow-host 0\.0\.0\.0\n", done.stderr)


def test_missing_server_is_one_line_with_exit_code_3(daemon: Daemon) -> None:
    client = [sys.executable, str(ROOT / "test_client.py"), "Once", "--url", "ws://127.0.0.1:1"]
    done = subprocess.run(client, capture_output=True, timeout=TIMEOUT_S, text=True)
    assert done.returncode == 3
    assert re.fullmatch(r"error: nothing listens on ws://127\.0\.0\.1:1; .+\n", done.stderr)


def test_hello_is_the_first_frame(daemon: Daemon) -> None:
    with daemon.connect() as client:
        hello = client.receive()
    assert (hello["op"], hello["protocol"]) == ("hello", 1)
    assert hello["model"]["chat"] is True


def test_json_and_websocket_pings_are_answered_during_an_answer(daemon: Daemon) -> None:
    with daemon.connect() as client:
        client.send(op="infer", prompt="Once", params={"ignore_eos": True, "max_tokens": 200})
        client.send(op="ping")
        pong = client.socket.ping()
        assert client.receive("pong") == {"op": "pong"}
        # `websockets` processes a pong only while the client receives.
        assert client.receive("end")["stats"]["tokens"] > 0
        assert pong.wait(TIMEOUT_S)


def test_requests_with_ids_on_one_connection_do_not_mix(daemon: Daemon) -> None:
    prompts = {"a": "Once upon a time", "b": "Hola", "c": "The dog"}
    params = {"temp": 0, "max_tokens": 40}
    with daemon.connect() as client:
        alone = {name: client.complete(prompt, **params)[0] for name, prompt in prompts.items()}
        for name, prompt in prompts.items():
            client.send(op="infer", id=name, prompt=prompt, params=params)
        texts, ended = dict.fromkeys(prompts, ""), []
        while len(ended) < len(prompts):
            frame = client.receive("token", "end", "error")
            if frame["op"] == "token":
                texts[frame["id"]] += frame["content"]
            else:
                assert frame["op"] == "end", frame
                ended.append(frame["id"])
    assert sorted(ended) == sorted(prompts)
    assert texts == alone


def test_sigterm_ends_requests_then_closes_with_1001_and_exits_0(own_daemon: Daemon) -> None:
    with own_daemon.connect() as idle, own_daemon.connect() as client:
        client.send(op="infer", prompt="Once", params={"ignore_eos": True, "max_tokens": 200})
        client.receive("token")
        own_daemon.signal(signal.SIGTERM)
        assert client.receive("end", "error")
        for connection in (client, idle):
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    connection.receive()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
    assert own_daemon.process.wait(TIMEOUT_S) == 0
