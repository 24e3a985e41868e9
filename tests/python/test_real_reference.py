"""The greedy text of real models is that of llama-server.

`tools/bench/llama_server.py` says which llama-server that is. One that was compiled for this CPU
computes short prompts with the same kernels in the same batches as the daemon, so that the texts
are equal but for the closest of ties. The ready-made one has other kernels.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import pytest
from answers import OTHER_BATCHES, SAME_WAY, Answer, Content, Message, Token, ask, story
from conftest import ROOT, TARGET, TIMEOUT_S, Daemon, eventually, model_path, real_model

sys.path.insert(0, str(ROOT / "tools/bench"))

import llama_server  # noqa: E402

# A shorter prompt, in tokens, is computed in one batch by both servers.
ONE_BATCH = 64
PROMPTS = {
    "english": "The history of the lighthouse begins with",
    "spanish": "Había una vez, en un pueblo de la montaña,",
    "code": 'def fibonacci(n):\n    """Returns the n-th Fibonacci number."""\n',
    "emoji": "🐶🦄 The weather today is ☀️ and tomorrow 🌧️, so",
    "json": '{"name": "Ada", "born": 1815, "works": [',
    "list": "A shopping list:\n- milk\n- bread\n",
}
CHAT: list[Message] = [
    {"role": "system", "content": "You answer in one sentence."},
    {"role": "user", "content": "¿Dónde está Lima? 🗺️"},
    {"role": "assistant", "content": "Lima está en Perú."},
    {"role": "user", "content": "And what is `fn main() {}`?"},
]


class LlamaServer:
    """A running llama-server with one slot."""

    def __init__(self, program: llama_server.Program, model: Path, log: Path) -> None:
        self.is_native, self.log = program.is_native, log
        # A single thread never waits for other threads, however busy the machine is. Without
        # checkpoints the last tokens of a prompt are computed in the batch of the others.
        options = ["-np", "1", "-c", "4096", "-t", "1", "-ngl", "0", "-ctxcp", "0"]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [program.path, "-m", model, *options, "--host", "127.0.0.1", "--port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.url = ""

    def is_ready(self) -> bool:
        """Whether the model is loaded. Skips the test if the ready-made program does not run."""
        if self.process.poll() is not None:
            ended = f"llama-server ended with {self.process.returncode}, see {self.log}"
            assert not self.is_native, ended
            pytest.skip(f"the ready-made llama-server does not run on this machine: {ended}")
        address = re.search(r"listening on (http://127\.0\.0\.1:\d+)", self.log.read_text())
        if not address:
            return False
        self.url = address.group(1)
        try:
            return self.get("/health")["status"] == "ok"
        except urllib.error.URLError:
            return False

    def get(self, path: str, body: Any = None) -> Any:
        """The JSON at `path`, which is posted to if there is a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data)
        # Ignores HTTP_PROXY: a proxy cannot reach the loopback interface of this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=TIMEOUT_S) as page:
            return json.load(page)

    def complete(self, prompt: str, max_tokens: int) -> tuple[list[int], int]:
        """The tokens of the greedy answer, and the number of tokens of the prompt."""
        greedy = {"temperature": 0, "top_k": 1, "ignore_eos": True, "cache_prompt": False}
        body = {"prompt": prompt, "n_predict": max_tokens, "return_tokens": True, **greedy}
        answer = self.get("/completion", body)
        return answer["tokens"], answer["tokens_evaluated"]

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True)
class Pair:
    """The daemon and llama-server with the same model."""

    daemon: Daemon
    llama_server: LlamaServer

    def compare(self, prompt: str, max_tokens: int) -> None:
        """Asserts that both continue the prompt with the same tokens, except for near ties.

        After a near tie both go on from the daemon's text, until `max_tokens` are compared.
        """
        while max_tokens > 0:
            compared = self.compare_once(prompt, prompt, max_tokens)
            max_tokens -= len(compared)
            # A near tie can cut a character in two, and half of it cannot be part of a prompt.
            prompt += b"".join(token.bytes for token in compared).decode(errors="ignore")

    def compare_once(self, prompt: str, content: Content, max_tokens: int) -> list[Token]:
        """Asserts that both give the same answer, up to a near tie, and returns this part of it.

        llama-server gets `prompt`, and the daemon `content`, which can be the messages of a chat.
        """
        with self.daemon.connect() as client:
            answer = ask(client, content, max_tokens, cache_prompt=False, ignore_eos=True)
        tokens, prompt_tokens = self.llama_server.complete(prompt, max_tokens)
        assert answer.prompt_tokens == prompt_tokens, prompt
        assert len(answer.tokens) == len(tokens)
        return answer.tokens[: self.n_equal(answer, tokens) + 1]

    def n_equal(self, answer: Answer, tokens: list[int]) -> int:
        """The number of tokens up to the first difference, which must be a near tie."""
        is_exact = self.llama_server.is_native and answer.prompt_tokens < ONE_BATCH
        limit = SAME_WAY if is_exact else OTHER_BATCHES
        for n, (ours, theirs) in enumerate(zip(answer.tokens, tokens)):
            if ours.id != theirs:
                lead = ours.lead_over(theirs)
                assert lead < limit, f"no near tie: {lead:.3f} nats at token {n} of {answer}"
                return n
        return len(tokens)


@contextmanager
def both_servers(name: str, log: Path) -> Iterator[Pair]:
    """Both servers with the model of this name. Skips the test if one of the files is missing."""
    model = model_path(name)
    program = llama_server.find(TARGET)
    if program is None:
        pytest.skip("there is no llama-server: `make real-models` downloads it")
    server = LlamaServer(program, model, log)
    try:
        eventually(server.is_ready, "llama-server is ready")
        with real_model(name) as daemon:
            yield Pair(daemon, server)
    finally:
        server.kill()


@pytest.fixture(scope="module")
def smollm2_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with both_servers("smollm2-135m", tmp_path_factory.mktemp("llama-server") / "log") as pair:
        yield pair


@pytest.fixture(scope="module")
def gemma_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with both_servers("gemma-3-270m", tmp_path_factory.mktemp("llama-server") / "log") as pair:
        yield pair


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
def test_greedy_text_of_smollm2_is_that_of_llama_server(smollm2_pair: Pair, prompt: str) -> None:
    smollm2_pair.compare(prompt, 96)


def test_chat_with_smollm2_is_answered_as_by_llama_server(smollm2_pair: Pair) -> None:
    prompt = smollm2_pair.llama_server.get("/apply-template", {"messages": CHAT})["prompt"]
    smollm2_pair.compare_once(prompt, CHAT, 64)


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
def test_greedy_text_of_gemma_is_that_of_llama_server(gemma_pair: Pair, prompt: str) -> None:
    gemma_pair.compare(prompt, 64)


def test_gemma_continues_2000_words_as_llama_server_does(gemma_pair: Pair) -> None:
    prompt = story(2000)
    gemma_pair.compare_once(prompt, prompt, 64)
