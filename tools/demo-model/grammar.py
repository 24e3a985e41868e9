"""Template expansion and Spanish agreement, shared by stories and dialogues.

A template holds alternatives in brackets, "[a|b|c]", which may be nested, and
slots in braces, "{name}". One alternative is drawn at random, then the slots
are filled.
"""

import re
from random import Random

INNERMOST_CHOICE = re.compile(r"\[([^\[\]]*)\]")
CONTRACTIONS = ((re.compile(r"\b([Dd])e el\b"), r"\1el"), (re.compile(r"\b([Aa]) el\b"), r"\1l"))
ACCENTS_REMOVED = str.maketrans("áéíóúÁÉÍÓÚ", "aeiouAEIOU")


def expand(template: str, slots: dict[str, str], rng: Random) -> str:
    while True:
        template, count = INNERMOST_CHOICE.subn(
            lambda match: rng.choice(match[1].split("|")), template
        )
        if count == 0:
            break
    # A slot at the start of a sentence has a capital letter.
    capitals = {key.capitalize(): value[:1].upper() + value[1:] for key, value in slots.items()}
    text = template.format_map(capitals | slots)
    return re.sub(r"  +", " ", text).strip()


def contract(spanish: str) -> str:
    """`de el` and `a el` are always written `del` and `al`."""
    for pattern, replacement in CONTRACTIONS:
        spanish = pattern.sub(replacement, spanish)
    return spanish


def agree(adjective: str, gender: str) -> str:
    return adjective[:-1] + "a" if gender == "f" and adjective.endswith("o") else adjective


def the(noun: str, gender: str) -> str:
    return ("la " if gender == "f" else "el ") + noun


def one(noun: str, gender: str) -> str:
    return ("una " if gender == "f" else "un ") + noun


def a(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def restyle(text: str, rng: Random) -> str:
    """Imitate the careless way in which many people type."""
    if rng.random() < 0.25:
        text = text[:1].lower() + text[1:]
    if rng.random() < 0.15:
        text = text.lower()
    if rng.random() < 0.3:
        text = text.strip("¿¡?!.")
    elif rng.random() < 0.1:
        text = text.replace("¿", "").replace("¡", "")
    if rng.random() < 0.1:
        text = text.translate(ACCENTS_REMOVED)
    return text
