"""The ways in which `mutants.py` changes a model's file."""

import struct

import gguf

INTEGERS = (gguf.U8, gguf.I8, gguf.U16, gguf.I16, gguf.U32, gguf.I32, gguf.U64, gguf.I64)

FLOATS = [0.0, -0.0, 1.0, -1.0, 1e-45, 1e38, float("nan"), float("inf"), -float("inf")]

TEXTS = ["", "\0", "a\0b", "\x1b[31m\n", "é" * 100, "x" * 70_000, "<s>", "none", "llama", "gpt2",
         "\u2028", b"\xff\xfe", b"\xed\xa0\x80"]

# Kinds of values that GGUF does not have, and the kind of arrays.
UNKNOWN_KINDS = [13, 14, 255, 2**31, 2**32 - 1, gguf.ARRAY]

TEMPLATES = [
    "{% for i in range(99999999) %}x{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(99999) %}"
    "{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{{ '%999999999d' % 1 }}", "{{ 'a' * 999999999 }}", "{{ messages * 9999999 }}",
    "{" * 5000, "{{ " + "(" * 5000, "{{ " + "[" * 20_000 + "]" * 20_000 + " }}",
    "{% if x %}" * 3000, "{{ 1" + "+1" * 20_000 + " }}", "{{ " + "-" * 30_000 + "1 }}",
    "{% set a = [] %}{% set _ = a.append(a) %}{{ a }}", "{{ 10 ** 99999 }}", "{{ 1 // 0 }}",
    "{% include '/etc/passwd' %}", "{% import 'x' as y %}", "{{ cycler.__class__ }}",
    "{{ raise_exception('\x1b[31m\n') }}", "{{ messages[-9223372036854775808] }}", "", " ",
]


def change(raw, number, rng):
    """The file `raw` with one change, chosen by `number` and `rng`. Returns the kind of the change,
    what was changed, and the new file."""
    kinds = [kind_of_value, integer, floating, text, array, nested_array, entries, tokens,
             token_types, special_tokens, template, tensor_infos, alignment, head, cut, bytes_of_header,
             weights]
    make = kinds[number % len(kinds)]
    what, changed = make(raw, rng)
    return make.__name__.replace("_", " "), what, changed


def rebuilt(raw, entries, infos=None):
    """The file with other entries, and perhaps another table of tensors."""
    reader = gguf.Reader(raw)
    reader.entries()
    table, weights = reader.tensor_infos(), reader.weights()
    file = bytearray(gguf.file(entries))
    struct.pack_into("<Q", file, 8, reader.n_tensors)
    file += table if infos is None else infos
    file += bytes(gguf.padded(len(file)) - len(file))
    return bytes(file) + weights


def entries_of(raw):
    return gguf.Reader(raw).entries()


def with_value(raw, rng, wanted, new):
    """Changes the value of an entry whose kind is in `wanted` to the kind and value `new`."""
    all_entries = entries_of(raw)
    places = [at for at, one in enumerate(all_entries) if one[1] in wanted]
    at = rng.choice(places)
    key = all_entries[at][0]
    kind, value = new
    all_entries[at] = (key, kind, value)
    return f"{key} of kind {kind} is {value[:40]!r}", rebuilt(raw, all_entries)


def any_value(rng):
    """A value of any kind: the kind and the bytes."""
    kind = rng.choice([*gguf.FORMATS, gguf.STRING, gguf.ARRAY])
    if kind == gguf.ARRAY:
        return kind, any_array(rng)
    if kind == gguf.STRING:
        return kind, gguf.string(rng.choice(TEXTS))
    if kind in (gguf.F32, gguf.F64):
        return kind, gguf.value(kind, rng.choice(FLOATS))
    return kind, rng.randbytes(struct.calcsize(gguf.FORMATS[kind]))


def any_array(rng):
    kind = rng.choice([*gguf.FORMATS, gguf.STRING])
    n_items = rng.choice([0, 1, 2, 5, 6, 513, 2048])
    if kind == gguf.STRING:
        items = [rng.choice(TEXTS[:5]) for _ in range(n_items)]
        return gguf.value(gguf.ARRAY, (kind, items))
    width = struct.calcsize(gguf.FORMATS[kind])
    return struct.pack("<IQ", kind, n_items) + rng.randbytes(width * n_items)


def kind_of_value(raw, rng):
    """Any entry gets a value of any kind, or of none."""
    if rng.random() < 0.3:
        return with_value(raw, rng, range(13), (rng.choice(UNKNOWN_KINDS), rng.randbytes(12)))
    return with_value(raw, rng, range(13), any_value(rng))


def integer(raw, rng):
    """An integer gets another width and a value near the limits of that width."""
    kind = rng.choice(INTEGERS)
    n_bits = 8 * struct.calcsize(gguf.FORMATS[kind])
    edges = [0, 1, 2, 3, 7, 31, 64, 2**(n_bits - 1) - 1, 2**(n_bits - 1), 2**n_bits - 1]
    value = (rng.choice(edges) % 2**n_bits).to_bytes(n_bits // 8, "little")
    return with_value(raw, rng, INTEGERS, (kind, value))


def floating(raw, rng):
    kind = rng.choice([gguf.F32, gguf.F64])
    return with_value(raw, rng, [gguf.F32, gguf.F64], (kind, gguf.value(kind, rng.choice(FLOATS))))


def text(raw, rng):
    value = gguf.string(rng.choice(TEXTS))
    if rng.random() < 0.3:
        value = struct.pack("<Q", rng.choice([2**31, 2**40, 2**63, 2**64 - 1])) + value[8:]
    return with_value(raw, rng, [gguf.STRING], (gguf.STRING, value))


def array(raw, rng):
    """An array gets other items, another number of items, or a number that it does not have."""
    value = any_array(rng)
    if rng.random() < 0.4:
        n_items = rng.choice([2**20, 2**31, 2**32, 2**61, 2**64 - 1])
        value = value[:4] + struct.pack("<Q", n_items) + value[12:]
    return with_value(raw, rng, [gguf.ARRAY], (gguf.ARRAY, value))


def nested_array(raw, rng):
    """An array of arrays, some levels deep. GGUF allows it, llama.cpp does not."""
    value = any_array(rng)
    for _ in range(rng.choice([1, 2, 10, 10_000])):
        value = struct.pack("<IQ", gguf.ARRAY, 1) + value
    return with_value(raw, rng, range(13), (gguf.ARRAY, value))


def entries(raw, rng):
    """Entries are missing, in another order, or there twice."""
    all_entries = entries_of(raw)
    how = rng.choice(["without", "shuffled", "twice", "new"])
    at = rng.randrange(len(all_entries))
    key = all_entries[at][0]
    if how == "without":
        all_entries.pop(at)
    elif how == "shuffled":
        rng.shuffle(all_entries)
    elif how == "twice":
        all_entries.append((key, *any_value(rng)))
    else:
        name = rng.choice(["", "x" * 70_000, "a\0b", "llama.expert_count", "split.count",
                           "llama.rope.scaling.type", "tokenizer.ggml.suppress_tokens",
                           "llama.attention.sliding_window", "tokenizer.ggml.pre",
                           "llama.nextn_predict_layers", "tokenizer.ggml.add_bos_token"])
        all_entries.insert(at, (name, *any_value(rng)))
        key = name[:40]
    return f"{how}: {key}", rebuilt(raw, all_entries)


def list_entry(raw, name):
    """An array of the tokenizer: all entries, the position of this one, and where its items
    begin."""
    all_entries = entries_of(raw)
    at = next(i for i, one in enumerate(all_entries) if one[0] == f"tokenizer.ggml.{name}")
    return all_entries, at


def tokens(raw, rng):
    """The texts of some tokens change, or their number."""
    all_entries, at = list_entry(raw, "tokens")
    key, kind, value = all_entries[at]
    reader = gguf.Reader(bytes(8) + struct.pack("<QQ", 0, 0) + value)
    reader.skip(gguf.U32)
    items = [reader.text() for _ in range(reader.number(gguf.U64))]
    how = rng.choice(["changed", "fewer", "more", "equal"])
    if how == "changed":
        for _ in range(rng.choice([1, 10, 500])):
            items[rng.randrange(len(items))] = rng.choice(TEXTS[:5]) + str(rng.random())
    elif how == "fewer":
        items = items[:rng.choice([0, 1, 3, 258, 300, len(items) - 1])]
    elif how == "more":
        items += [f"more {n}" for n in range(rng.choice([1, 5, 5000]))]
    else:
        items[rng.randrange(len(items))] = items[rng.randrange(len(items))]
    all_entries[at] = (key, kind, gguf.value(gguf.ARRAY, (gguf.STRING, items)))
    return how, rebuilt(raw, all_entries)


def token_types(raw, rng):
    """Types or scores of tokens get any value, or there are fewer."""
    all_entries = entries_of(raw)
    names = ("tokenizer.ggml.token_type", "tokenizer.ggml.scores")
    at = rng.choice([i for i, one in enumerate(all_entries) if one[0] in names])
    key, kind, value = all_entries[at]
    changed = bytearray(value)
    for _ in range(rng.choice([1, 20, 2000])):
        item = rng.randrange(12, len(changed), 4)
        changed[item:item + 4] = rng.choice([rng.randbytes(4), bytes(4), b"\xff" * 4, b"\3\0\0\0"])
    if rng.random() < 0.3:
        n_items = rng.choice([0, 1, 259])
        changed = changed[:4] + struct.pack("<Q", n_items) + changed[12:12 + 4 * n_items]
    all_entries[at] = (key, kind, bytes(changed))
    return key, rebuilt(raw, all_entries)


def special_tokens(raw, rng):
    """A special token is another token, or none."""
    names = ["bos", "eos", "unknown", "padding", "eot", "eom", "separator", "fim_pre"]
    key = f"tokenizer.ggml.{rng.choice(names)}_token_id"
    number = rng.choice([0, 1, 2, 3, 300, 2047, 2048, 2**31, 2**32 - 1])
    all_entries = [one for one in entries_of(raw) if one[0] != key]
    all_entries.append((key, gguf.U32, struct.pack("<I", number)))
    return f"{key} {number}", rebuilt(raw, all_entries)


def template(raw, rng):
    source = rng.choice(TEMPLATES)
    key = "tokenizer.chat_template"
    all_entries = [one for one in entries_of(raw) if one[0] != key]
    all_entries.append((key, gguf.STRING, gguf.string(source)))
    return source[:60], rebuilt(raw, all_entries)


def tensor_infos(raw, rng):
    """A tensor's name, number of dimensions, sizes, type or offset changes."""
    reader = gguf.Reader(raw)
    all_entries = reader.entries()
    infos = []
    for _ in range(reader.n_tensors):
        name, n_dims = reader.text(), reader.number(gguf.U32)
        sizes = [reader.number(gguf.U64) for _ in range(n_dims)]
        infos.append([name, n_dims, sizes, reader.number(gguf.U32), reader.number(gguf.U64)])
    one, other = rng.choice(infos), rng.choice(infos)
    huge = [0, 1, 3, 31, 2**31, 2**32, 2**62, 2**63, 2**64 - 1]
    what = rng.choice(["name", "dimensions", "size", "type", "offset"])
    if what == "name":
        one[0] = rng.choice(["", "x" * 63, "x" * 64, "x" * 70, "a\0b", other[0], one[0] + "x"])
    elif what == "dimensions":
        one[1] = rng.choice([0, 1, 3, 4, 5, 2**31, 2**32 - 1])
    elif what == "size":
        one[2][rng.randrange(len(one[2]))] = rng.choice([*huge, other[2][0]])
    elif what == "type":
        one[3] = rng.choice([*range(45), 2**31, 2**32 - 1])
    else:
        one[4] = rng.choice([*huge, other[4], one[4] + 1, one[4] + 32])
    packed = [gguf.string(name) + struct.pack(f"<I{len(sizes)}QIQ", n_dims, *sizes, kind, offset)
              for name, n_dims, sizes, kind, offset in infos]
    return f"{what} of a tensor: {one}", rebuilt(raw, all_entries, b"".join(packed))


def alignment(raw, rng):
    number = rng.choice([0, 1, 2, 8, 31, 32, 64, 128, 4096, 2**31, 2**32 - 1])
    all_entries = [one for one in entries_of(raw) if one[0] != "general.alignment"]
    all_entries.append(("general.alignment", gguf.U32, struct.pack("<I", number)))
    return str(number), rebuilt(raw, all_entries)


def head(raw, rng):
    """Magic, version, or the number of tensors or entries."""
    changed = bytearray(raw)
    what = rng.choice(["magic", "version", "tensors", "entries"])
    at, n_bytes = {"magic": (0, 4), "version": (4, 4), "tensors": (8, 8), "entries": (16, 8)}[what]
    number = rng.choice([0, 1, 2, 4, 2**31, 2**40, 2**63, 2**64 - 1]) % 2**(8 * n_bytes)
    changed[at:at + n_bytes] = number.to_bytes(n_bytes, "little")
    return f"{what} {number}", bytes(changed)


def cut(raw, rng):
    n_bytes = rng.randrange(rng.choice([64, 4096, 100_000, len(raw)]))
    return f"after {n_bytes} bytes", raw[:n_bytes]


def bytes_of_header(raw, rng):
    """Some random bytes anywhere in the header."""
    reader = gguf.Reader(raw)
    reader.entries()
    reader.tensor_infos()
    changed = bytearray(raw)
    places = [rng.randrange(reader.at) for _ in range(rng.choice([1, 1, 5, 50]))]
    for at in places:
        changed[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    return f"at {places[:5]}", bytes(changed)


def weights(raw, rng):
    """Random bytes, or numbers that are not finite, in the weights."""
    reader = gguf.Reader(raw)
    reader.entries()
    reader.tensor_infos()
    changed = bytearray(raw)
    start = gguf.padded(reader.at)
    filler = rng.choice([b"\xff", b"\x00", b"\x7c\x00", b"\x00\x7c", b"\x7f"])
    n_bytes = rng.choice([1, 100, 10_000, len(raw) - start])
    at = rng.randrange(start, len(raw) - n_bytes + 1)
    changed[at:at + n_bytes] = (filler * n_bytes)[:n_bytes]
    return f"{n_bytes} bytes {filler!r} at {at}", bytes(changed)
