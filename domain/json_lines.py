"""JSON as one line, to readers of lines of any kind: many end one at U+0085, U+2028 or U+2029 too, as Python's do."""


def one_line(json_text: str) -> str:
    """The same value, with nothing in its text that ends a line. Control characters are escaped in JSON as it is."""
    if json_text.isascii():
        return json_text
    # Outside of a string there is none of these.
    return json_text.replace("\x85", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
