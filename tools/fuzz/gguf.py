"""Writes small GGUF files, and reads the metadata of any."""

import struct

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)

# struct formats of the types of fixed width.
FORMATS = {
    U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", F32: "<f", BOOL: "<B",
    U64: "<Q", I64: "<q", F64: "<d",
}

ALIGNMENT = 32


def string(text):
    """A string: its length, followed by its bytes."""
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def value(kind, content):
    """A value without its type. The content of an array is the type and the list of its items."""
    if kind == STRING:
        return string(content)
    if kind == ARRAY:
        item_kind, items = content
        head = struct.pack("<IQ", item_kind, len(items))
        return head + b"".join(value(item_kind, item) for item in items)
    return struct.pack(FORMATS[kind], content)


def entry(key, kind, raw):
    """An entry of the metadata, of which `raw` is the value without its type."""
    return string(key) + struct.pack("<I", kind) + raw


def file(entries, tensors=(), version=3):
    """A file. `entries` are (key, kind, raw value), `tensors` (name, dimensions, type, weights)."""
    parts = [b"GGUF", struct.pack("<IQQ", version, len(tensors), len(entries))]
    parts += [entry(*one) for one in entries]
    offset = 0
    for name, dimensions, kind, weights in tensors:
        sizes = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
        parts += [string(name), sizes, struct.pack("<IQ", kind, offset)]
        offset += padded(len(weights))
    raw = bytearray(b"".join(parts))
    for _, _, _, weights in tensors:
        raw += bytes(padded(len(raw)) - len(raw)) + weights
    return bytes(raw)


def padded(n_bytes):
    return -(-n_bytes // ALIGNMENT) * ALIGNMENT


class Reader:
    """Reads a file that is valid."""

    def __init__(self, raw):
        self.raw, self.at = raw, 8
        self.n_tensors, self.n_entries = self.number(U64), self.number(U64)

    def entries(self):
        """The entries as (key, kind, raw value)."""
        return [self.entry() for _ in range(self.n_entries)]

    def entry(self):
        key = self.text()
        kind = self.number(U32)
        start = self.at
        self.skip(kind)
        return key, kind, self.raw[start:self.at]

    def tensor_infos(self):
        """The bytes of the table of tensors, which follows the entries."""
        start = self.at
        for _ in range(self.n_tensors):
            self.text()
            n_dimensions = self.number(U32)
            self.at += 8 * n_dimensions + 4 + 8
        return self.raw[start:self.at]

    def weights(self):
        return self.raw[padded(self.at):]

    def number(self, kind):
        (number,) = struct.unpack_from(FORMATS[kind], self.raw, self.at)
        self.at += struct.calcsize(FORMATS[kind])
        return number

    def text(self):
        n_bytes = self.number(U64)
        self.at += n_bytes
        return self.raw[self.at - n_bytes:self.at].decode()

    def skip(self, kind):
        if kind == STRING:
            self.text()
        elif kind == ARRAY:
            item_kind, n_items = self.number(U32), self.number(U64)
            for _ in range(n_items):
                self.skip(item_kind)
        else:
            self.at += struct.calcsize(FORMATS[kind])
