"""How a text file is written: its encoding, told from how it begins; what is no text at all is named.

UTF-8 and UTF-16 by their byte order marks; UTF-16 without one by its NULs; Windows-1252 where the beginning is no UTF-8 and
has not one character of it. Where both occur it is UTF-8, and what is not is refused row by row: taken for Windows-1252,
whole addresses would silently become others, and their opt-outs be lost.
"""

import codecs
import re

from ledger.import_rows import FileUnusable

HEAD_BYTES = 64 * 1024
_PACKED = (
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "ZIP, which is also what an Excel workbook is"),
    (b"PK\x05\x06", "ZIP"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"(\xb5/\xfd", "Zstandard"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8"),
    (codecs.BOM_UTF32_LE, "", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_MULTIBYTE_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_NULS_LOOKED_AT = 200
# What could not be decoded is carried through as half of a surrogate pair, so it spoils its own row and no other.
UNDECODABLE = "\udcff"


class Decoder:
    """Decodes a file piece by piece. `name` is the encoding, in words; raises FileUnusable for what is no text."""

    def __init__(self, head: bytes) -> None:
        self.name, codec, self._skipped = _encoding(head)
        errors = "surrogatepass" if codec.startswith("utf-16") else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(codec)(errors)

    def decode(self, data: bytes) -> str:
        """The text of a further piece."""
        if self._skipped:
            data, self._skipped = data[self._skipped :], 0
        return self._decoder.decode(data)

    def end(self) -> str:
        """What is left at the end of the file: half a character, if anything."""
        try:
            return self._decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return UNDECODABLE


def _encoding(head: bytes) -> tuple[str, str, int]:
    """(name, codec, bytes to skip) of a file that begins like this."""
    for magic, name in _PACKED:
        if head.startswith(magic):
            raise FileUnusable(f"the file is compressed ({name}): unpack it, or save it as CSV, and import that")
    for mark, codec, name in _MARKS:
        if head.startswith(mark):
            if not codec:
                raise FileUnusable(f"the file is {name}: save it as UTF-8")
            return name, codec, len(mark)
    looked_at = head[:_NULS_LOOKED_AT]
    for codec, high, low in (("utf-16-le", looked_at[1::2], looked_at[::2]),
                             ("utf-16-be", looked_at[::2], looked_at[1::2])):  # fmt: skip
        if len(looked_at) > 1 and high.count(0) > len(high) // 2 and not low.count(0):
            return "UTF-16", codec, 0
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        if _MULTIBYTE_UTF8.search(head) is None:
            return "Windows-1252", "cp1252", 0
    return "UTF-8", "utf-8", 0
