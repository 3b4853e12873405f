"""How a text file is written: its encoding, told from how it begins; what is no text at all is named.

UTF-8 and UTF-16 by their byte order marks; UTF-16 without one by its NULs; Windows-1252 where the beginning is no UTF-8 and
has not one character of it. Where both occur it is UTF-8, and what is not is refused row by row: taken for Windows-1252,
whole addresses would silently become others, and their opt-outs be lost.

Windows-1252 is only a guess: bytes say nothing of which code page they are in, and in another one an address is another. So
what says whose consent a row is, is not taken from such a file where it has letters beyond ASCII (`Decoder.doubt`), unless
the encoding is told. Nor from a file where less of that is UTF-8 than is not: some letters of any code page look like it.
"""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from encodings.aliases import aliases
from typing import Final

from domain.refusals import Refusal, RefusalCode
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


_UTF_8, _UTF_16 = "utf-8", "utf-16"
_ISO_8859_PARTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)
# By the name that is shown, the codec. Names of East Asia stand for what Windows programs write under them, which has all
# that the narrower standards have.
_CODECS: Final[Mapping[str, str]] = {
    "utf-8": _UTF_8,
    "utf-16": _UTF_16,
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    **{f"windows-{number}": f"cp{number}" for number in (874, *range(1250, 1259))},
    **{f"iso-8859-{part}": "latin-1" if part == 1 else f"iso8859-{part}" for part in _ISO_8859_PARTS},
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "macintosh": "mac-roman",
    **{
        f"cp{number}": f"cp{number}"
        for number in (437, 720, 737, 775, 850, 852, 855, 857, 858, *range(860, 864), 865, 866, 869)
    },
    "shift_jis": "cp932",
    "gbk": "gbk",
    "big5": "cp950",
    "euc-kr": "cp949",
}
_SAY_IT = "say it with --encoding, such as windows-1252 (over HTTP encoding), or save the file as UTF-8"


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding that was told: the name that is shown, and the codec."""

    name: str
    codec: str

    @classmethod
    def of(cls, text: str) -> "Encoding":
        """The encoding of this name, or of another name that it is known by. Raises Refusal INVALID with path `encoding`."""
        found = _BY_NAME.get(_plain(text))
        if found is None:
            raise Refusal(
                RefusalCode.INVALID,
                f"there is no such encoding; there are {', '.join(_CODECS)}",
                ("encoding",),
            )
        return cls(found, _CODECS[found])


def _plain(name: str) -> str:
    return re.sub(r"[-_ .]", "", name.casefold())


def _by_name() -> Mapping[str, str]:
    """By each name in any spelling, the one that is shown."""
    shown = {_plain(codec): name for name, codec in reversed(_CODECS.items())}
    shown |= {_plain(name): name for name in _CODECS} | {"utf8sig": _UTF_8, "windows31j": "shift_jis", "gb2312": "gbk"}
    return {_plain(alias): shown[_plain(codec)] for alias, codec in aliases.items() if _plain(codec) in shown} | shown


_BY_NAME: Final = _by_name()


class Decoder:
    """Decodes a file piece by piece. `name` is the encoding, in words; raises FileUnusable for what is no text, or not what
    it is told to be.
    """

    def __init__(self, head: bytes, told: Encoding | None = None) -> None:
        self.name, self._codec, self._skipped = _encoding(head) if told is None else _as_told(head, told)
        self._told = told is not None
        self._certain = self._told or _shown(head) is not None
        # Their own form shows that a file is in one of the others.
        self.doubtful = not self._codec.startswith("utf-") if self._certain else _mostly_not_utf8(head)
        errors = "surrogatepass" if self._codec.startswith("utf-16") else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(self._codec)(errors)

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

    def doubt(self, text: str) -> str | None:
        """Why a text of this file may be another one than was read, if it may."""
        if not self.doubtful or text.isascii():
            return None
        if not self._told:
            return f"has letters beyond ASCII, and the file does not show which encoding they are in: {_SAY_IT}"
        try:
            text.encode(self._codec).decode(_UTF_8)
        except UnicodeError:
            return None
        return f"is written in UTF-8, and not in {self.name} as the file is said to be; if it is not, save the file as UTF-8"

    def unreadable(self) -> str:
        """What is wrong with a text that has bytes which the encoding does not have."""
        return f"is not {self.name}" + ("" if self._certain else f"; if the file is in another encoding, {_SAY_IT}")


def _as_told(head: bytes, told: Encoding) -> tuple[str, str, int]:
    """As `_encoding`, of a file that is told to be so."""
    shown = _shown(head)
    if shown is None and told.codec != _UTF_16:
        return told.name, told.codec, 0
    if shown is None:
        raise FileUnusable(
            "the file is said to be utf-16, and does not begin like it: say utf-16-le or utf-16-be if it is"
        )
    name, codec, skipped = shown
    if codec == told.codec or (told.codec == _UTF_16 and codec.startswith(_UTF_16)):
        return told.name, codec, skipped
    raise FileUnusable(
        f"the file is said to be {told.name}, and begins as {name} does: leave out --encoding (over HTTP encoding)"
    )


def _encoding(head: bytes) -> tuple[str, str, int]:
    """(name, codec, bytes to skip) of a file that begins like this."""
    shown = _shown(head)
    if shown is not None:
        return shown
    try:
        codecs.getincrementaldecoder(_UTF_8)().decode(head)
    except UnicodeDecodeError:
        if _MULTIBYTE_UTF8.search(head) is None:
            return "Windows-1252", "cp1252", 0
    return "UTF-8", _UTF_8, 0


def _mostly_not_utf8(head: bytes) -> bool:
    """Whether what is no UTF-8 outnumbers the characters beyond ASCII that are: some of any code page look like one."""
    beyond = [char for char in codecs.getincrementaldecoder(_UTF_8)("surrogateescape").decode(head) if char > "\x7f"]
    return 2 * sum("\ud800" <= char <= "\udfff" for char in beyond) > len(beyond)


def _shown(head: bytes) -> tuple[str, str, int] | None:
    """As `_encoding`, where a mark or NULs show what it is. Raises FileUnusable for what is no text, or in UTF-32."""
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
    return None
