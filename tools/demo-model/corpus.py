"""Generate the training and held-out text of the demo model.

Nothing is downloaded: every document is drawn from the grammar in this folder
with a fixed seed. A document is either a conversation (`messages`, later
converted to the chat format) or raw text. Raw text is a story, or a question
and its answer as two paragraphs. It trains the model to complete prompts that
are not in the chat format.
"""

import argparse
import json
from pathlib import Path
from random import Random

import dialogues
import stories
import words
from grammar import restyle

SIZES = {"train": (100_000, 11), "heldout": (2_000, 12)}
CHAT_SHARE = 0.6
STORY_SHARE_OF_RAW = 0.3

# System messages by their effect. Those under None have no effect.
SYSTEM_MESSAGES: dict[str | None, list[str]] = {
    None: ["You are a helpful assistant.", "You are a friendly assistant.", "Eres un asistente amable.",
           "You are a small demo model.", "Eres un asistente útil."],
    "es": ["Answer in Spanish.", "Always answer in Spanish.", "Responde en español.", "Reply in Spanish."],
    "en": ["Answer in English.", "Always answer in English.", "Responde en inglés.", "Reply in English."],
    "brief": ["Be brief.", "Answer briefly.", "Sé breve.", "Responde con brevedad.", "Keep your answers short."],
    "emoji": ["Use emoji.", "Use an emoji in every answer.", "Usa emojis.", "Answer with emoji."],
}


def system_message(rng: Random) -> tuple[str | None, str | None]:
    """Effect and text of a system message. Most conversations have none."""
    if rng.random() < 0.65:
        return None, None
    asked = rng.choice(list(SYSTEM_MESSAGES))
    return asked, rng.choice(SYSTEM_MESSAGES[asked])


def with_emoji(text: str, rng: Random) -> str:
    return f"{text} {rng.choice(words.EMOJI)}"


def conversation(rng: Random) -> dict:
    language = rng.choice(["en", "es"])
    asked, wording = system_message(rng)
    messages = [{"role": "system", "content": wording}] if wording else []
    answer_language = asked if asked in ("en", "es") else language
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
        exchange = dialogues.draw_exchange(rng)
        answers = exchange.brief if asked == "brief" else exchange.answer
        answer = answers[answer_language]
        if asked == "emoji" or (asked != "brief" and rng.random() < 0.08):
            answer = with_emoji(answer, rng)
        messages.append({"role": "user", "content": restyle(exchange.question[language], rng)})
        messages.append({"role": "assistant", "content": answer})
    return {"messages": messages}


def raw_text(rng: Random) -> dict:
    language = rng.choice(["en", "es"])
    if rng.random() < STORY_SHARE_OF_RAW:
        text = stories.tell(stories.draw_topic(rng), language, rng)
    else:
        exchange = dialogues.draw_exchange(rng)
        text = restyle(exchange.question[language], rng) + "\n" + exchange.answer[language]
    return {"text": with_emoji(text, rng) if rng.random() < 0.08 else text}


def documents(size: int, seed: int) -> list[dict]:
    rng = Random(seed)
    return [conversation(rng) if rng.random() < CHAT_SHARE else raw_text(rng) for _ in range(size)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"))
    build = parser.parse_args().build
    build.mkdir(parents=True, exist_ok=True)
    for name, (size, seed) in SIZES.items():
        with (build / f"{name}.jsonl").open("w", encoding="utf-8") as output:
            for document in documents(size, seed):
                output.write(json.dumps(document, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
