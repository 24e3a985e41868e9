"""Requests to SmolLM2: many at once, cut characters and stop strings."""

from __future__ import annotations

from answers import OTHER_BATCHES, Answer, Content, ask, assert_same, request, story
from conftest import Daemon

# A prompt that the model continues with the same character, of four bytes and several tokens.
CLOUDS = "🌩🌩🌩🌩🌩🌩🌩🌩"


def content_of(n: int) -> Content:
    """The prompt of request `n`, or the messages of every other one."""
    text = story(20, first=n)
    return [{"role": "user", "content": text}] if n % 2 else text


def test_40_requests_of_a_connection_end_once_each(smollm2: Daemon) -> None:
    """Two of four are endless: one is aborted at once, the other when its first text arrives."""
    answers = [Answer() for _ in range(40)]
    with smollm2.connect() as client:
        for n in range(len(answers)):
            is_endless = n % 4 > 1
            length = {"max_tokens": -1, "ignore_eos": True} if is_endless else {"max_tokens": 8}
            client.send(id=str(n), **request(content_of(n), **length))
            if n % 4 == 2:
                client.send(op="abort", id=str(n))
        aborted = set()
        while not all(answer.end for answer in answers):
            frame = client.receive("token", "end", "error")
            n = int(frame["id"])
            answers[n].add(frame)
            if n % 4 == 3 and n not in aborted:
                aborted.add(n)
                client.send(op="abort", id=str(n))
        # Nothing follows the last terminal frame.
        client.send(op="ping")
        assert client.receive("token", "end", "error", "pong")["op"] == "pong"
        for n, answer in enumerate(answers):
            if n % 4 > 1:
                assert answer.finish_reason == "abort", answer
            elif n % 8 < 2:
                assert_same(answer, ask(client, content_of(n), 8), OTHER_BATCHES)


def test_character_cut_by_max_tokens_is_valid_text(smollm2: Daemon) -> None:
    with smollm2.connect() as client:
        cut = set()
        for max_tokens in range(1, 13):
            answer = ask(client, CLOUDS, max_tokens, ignore_eos=True)
            assert len(answer.tokens) == max_tokens
            sent = b"".join(token.bytes for token in answer.tokens)
            whole = sent.decode(errors="ignore")
            # Nothing or U+FFFD stands for the bytes of a character that is not complete.
            assert answer.text.rstrip("\ufffd") == whole
            if len(whole.encode()) < len(sent):
                cut.add(max_tokens)
        assert cut, "no answer ends within a character"


def test_stop_string_across_tokens_ends_the_text_before_it(smollm2: Daemon) -> None:
    with smollm2.connect() as client:
        prompt = "The history of the lighthouse begins with"
        whole = ask(client, prompt, 48, ignore_eos=True, cache_prompt=False)
        texts = [token.bytes.decode() for token in whole.tokens]
        assert "".join(texts) == whole.text
        for first in range(4, 44, 4):
            # The end of one token, all of the next one, and the beginning of the third.
            stop = texts[first][-2:] + texts[first + 1] + texts[first + 2][:2]
            answer = ask(client, prompt, 48, ignore_eos=True, cache_prompt=False, stop=[stop, "§"])
            assert answer.finish_reason == "stop"
            assert answer.text == whole.text[: whole.text.index(stop)]
