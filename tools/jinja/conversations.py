"""Conversations that a chat template has to render, valid or not for its model: fifteen of messages
only, and some with tools, documents and thinking."""


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


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "It's the \"weather\" <now>",
            "parameters": {
                "type": "object",
                "properties": {
                    "town": {"type": "string", "enum": ["Köln", "Åre"]},
                    "days": {"type": ["integer", "null"], "default": None},
                    "exact": {"type": "boolean", "default": False},
                },
                "required": ["town"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Adds <b>",
            "parameters": {
                "type": "object",
                "properties": {
                    "x": {"type": "number", "description": "x's"},
                    "y": {"type": "array", "items": {"type": "string"}},
                    "o": {"type": "object", "properties": {"q": {"type": "string", "enum": ["a"]}}},
                },
                "required": ["x"],
            },
        },
    },
]


def calling(*arguments, content="", **fields):
    """A message of the assistant that calls the first tool, once for each of `arguments`."""
    calls = [
        {
            "id": f"call0000{i}",
            "type": "function",
            "function": {"name": "weather", "arguments": given},
        }
        for i, given in enumerate(arguments)
    ]
    return {"role": "assistant", "content": content, "tool_calls": calls} | fields


def result(content, number=0):
    return {
        "role": "tool",
        "tool_call_id": f"call0000{number}",
        "name": "weather",
        "content": content,
    }


ARGUMENTS = {"town": "Köln", "days": 3, "exact": True, "share": 1.0, "none": None, "list": [1, "b"]}

# The same with other variables beside the messages.
WITH_VARIABLES = {
    "tools": {"messages": [system("Be kind."), user("w?")], "tools": TOOLS},
    "call and result": {"messages": [user("w?"), calling(ARGUMENTS), result("{}")], "tools": TOOLS},
    "answer after a result": {
        "messages": [
            system("s"),
            user("w?"),
            calling(ARGUMENTS),
            result('{"t": 1.5e16}'),
            assistant("Warm."),
            user("And then?"),
        ],
        "tools": TOOLS,
    },
    "arguments as text": {
        "messages": [user("w?"), calling('{"town": "Köln"}'), result("<b> 'q'")],
        "tools": TOOLS,
    },
    "two calls, with text": {
        "messages": [
            user("w?"),
            calling(ARGUMENTS, {"town": "Åre"}, content="Hm.", reasoning_content="Which?\n"),
            result("1"),
            result("2", 1),
        ],
        "tools": TOOLS,
        "enable_thinking": True,
    },
    "call without content": {
        "messages": [user("w?"), calling(ARGUMENTS, content=None), result("1"), user("x")],
        "tools": TOOLS,
    },
    "results without tools": {"messages": [user("w?"), calling({}), result("\n1\n")]},
    "documents": {
        "messages": [user("w?")],
        "documents": [{"title": 'T "x"', "text": "x\ny", "doc_id": 1}, {"title": "U", "text": ""}],
        "controls": {"length": "long"},
    },
    "reasoning": {
        "messages": [
            user("w?"),
            assistant("x") | {"reasoning_content": "hm\n"},
            user("y"),
            assistant("z") | {"reasoning_content": "h", "thinking": "t", "reasoning": "r"},
            user("q"),
        ],
        "enable_thinking": True,
        "reasoning_effort": "high",
        "thinking": True,
    },
    "no thinking": {
        "messages": [system("s /no_think"), user("w?")],
        "enable_thinking": False,
        "reasoning_effort": "low",
        "thinking": False,
    },
    "continued answer": {
        "messages": [user("w?"), assistant("It is ") | {"reasoning_content": "hm"}],
        "add_generation_prompt": False,
        "enable_thinking": True,
    },
    "developer": {"messages": [message("developer", "Be kind."), user("w?")], "tools": TOOLS},
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


def all_values():
    """The name and the variables of each conversation."""
    plain = {name: values(messages) for name, messages in CONVERSATIONS.items()}
    return plain | {name: values([]) | given for name, given in WITH_VARIABLES.items()}
