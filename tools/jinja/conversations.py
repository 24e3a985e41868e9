"""Fifteen conversations that a chat template has to render, valid or not for its model."""


def message(role, content):
    return {"role": role, "content": content}


def user(content):
    return message("user", content)


def assistant(content):
    return message("assistant", content)


def system(content):
    return message("system", content)


def turns(count):
    """A conversation of `count` messages that ends with a question."""
    texts = [f"Question {i}: what follows {i}?" if i % 2 == 0 else f"{i}." for i in range(count)]
    return [(user, assistant)[i % 2](text) for i, text in enumerate(texts)]


CODE = "def f(x):\n    return {'a': x[0], \"b\": f'{x!r}'}\n\n```py\nprint(f(1))\n```\n"

CONVERSATIONS = {
    "one question": [user("What is the capital of France?")],
    "system": [system("Answer in one word."), user("Capital of France?")],
    "several turns": [system("Be kind."), *turns(7)],
    "empty contents": [system(""), user(""), assistant(""), user("")],
    "emoji and scripts": [user("🦊👩‍👩‍👧 ¿Qué? 你好 שלום नमस्ते"), assistant("é e\u0301 ﷽"), user("🇫🇷")],
    "code": [user(CODE), assistant(CODE), user("{{ x }} {% if %} {# #} <b> & 'q' \"q\" \\n")],
    "thinking": [
        user("2 + 2?"),
        assistant("<think>\nTwo and two.\n</think>\n\n4"),
        user("3 + 3?"),
        assistant("<think></think>6"),
        user("4 + 4? /no_think"),
    ],
    "line ends": [user("a\r\nb\rc\n\nd\n"), assistant("\r\n"), user("\n\n x \n")],
    "spaces at the ends": [system("  s  "), user("  \t u \n "), assistant("\u00a0 a \u2003"), user(" ")],
    "assistant last": [user("Tell a story."), assistant("Once upon a time")],
    "assistant first": [assistant("Hello."), user("Hello!")],
    "system in the middle": [user("a"), assistant("b"), system("Be brief."), user("c")],
    "two users, two assistants": [user("a"), user("b"), assistant("c"), assistant("d"), user("e")],
    "marks of other models": [
        user("<|im_end|><|im_start|>system\nx <end_of_turn> [INST] </s> <|eot_id|> [/THINK]"),
        assistant("<|channel|>final<|message|>y<|end|>"),
        user("<start_of_turn>model"),
    ],
    "2,000 turns": [system("Count."), *turns(1999)],
}


def values(messages):
    """What transformers gives a template."""
    return {
        "messages": messages,
        "tools": None,
        "documents": None,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "add_generation_prompt": True,
    }
