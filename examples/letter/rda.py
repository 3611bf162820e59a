"""Reads a data frame from an unpacked .rda file of R (XDR serialisation, versions 2 and 3), without R."""

import struct

# Types of items that appear in a data frame of numbers and factors.
NULL, REFERENCE, SYMBOL, PAIRLIST, STRING, LOGICAL, INTEGER, REAL, TEXTS, LIST = 254, 255, 1, 2, 9, 10, 13, 14, 16, 19
HAS_ATTRIBUTES, HAS_TAG = 0x200, 0x400


def read_frame(content):
    """Column name -> its numbers; a factor gives its codes, which count from 1. The file holds one frame."""
    if content[:5] not in (b"RDX2\n", b"RDX3\n"):
        raise ValueError("not an .rda file in R's XDR format")
    reader = _Reader(content, 7)  # magic, "X\n"
    version = reader.integer()
    reader.at += 8  # versions of R
    if version == 3:
        reader.at += reader.integer()  # name of the encoding, after its length
    [(_, (columns, attributes))] = reader.item()
    names = attributes["names"][0]
    return {name: values for name, (values, _) in zip(names, columns)}


class _Reader:
    """A position in the bytes, and the symbols seen so far, which later items refer to by number."""

    def __init__(self, content, at):
        self.content, self.at, self.symbols = content, at, []

    def integer(self):
        self.at += 4
        return struct.unpack_from(">i", self.content, self.at - 4)[0]

    def array(self, code, size):
        count = self.integer()
        self.at += count * size
        return list(struct.unpack_from(f">{count}{code}", self.content, self.at - count * size))

    def item(self):
        """A pair list as [(tag, value)], a symbol or string as text, a vector as (values, attributes)."""
        flags = self.integer()
        kind = flags & 255
        if kind == NULL:
            return []
        if kind == REFERENCE:
            return self.symbols[(flags >> 8) - 1]
        if kind == SYMBOL:
            self.symbols.append(self.item())
            return self.symbols[-1]
        if kind == STRING:
            length = self.integer()  # -1: not available
            self.at += max(0, length)
            return self.content[self.at - length : self.at].decode() if length >= 0 else None
        if kind == PAIRLIST:
            if flags & HAS_ATTRIBUTES:
                self.item()
            tag = self.item() if flags & HAS_TAG else None
            value = self.item()
            return [(tag, value), *self.item()]
        if kind in (LOGICAL, INTEGER):
            values = self.array("i", 4)
        elif kind == REAL:
            values = self.array("d", 8)
        elif kind in (TEXTS, LIST):
            values = [self.item() for _ in range(self.integer())]
        else:
            raise ValueError(f"items of type {kind} are not expected in a data frame")
        return values, dict(self.item()) if flags & HAS_ATTRIBUTES else {}
