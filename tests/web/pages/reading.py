"""Pages read as a browser does: their forms, with what is hidden and what is ticked, and their words."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "input", "img", "br", "link", "hr"})


@dataclass
class Form:
    """A form: its fields in order, its boxes with whether they are ticked, its buttons by value."""

    action: str
    hidden: list[tuple[str, str]] = field(default_factory=list)
    boxes: dict[str, bool] = field(default_factory=dict)
    buttons: dict[str, str] = field(default_factory=dict)

    def filled(self, button: str, **changes: bool) -> list[tuple[str, str]]:
        """What a browser sends after these boxes were set, by `purpose__topic`, and a button was pressed."""
        wanted = {"choice." + name.replace("__", "."): ticked for name, ticked in changes.items()}
        assert wanted.keys() <= self.boxes.keys(), (wanted, self.boxes)
        ticked = [(name, "yes") for name, now in {**self.boxes, **wanted}.items() if now]
        return [*self.hidden, *ticked, *([("action", button)] if button else [])]


class Page(HTMLParser):
    """A page: every element with its attributes, its words line by line, its forms."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.forms: list[Form] = []
        self._open: list[str] = []
        self._words: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == [], "every element is closed"
        # Blocks are on lines of their own in the source, so words of two of them are apart.
        self.squeezed = "".join(self._words)
        self.text = re.sub(r"\s+", " ", self.squeezed).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert len(given) == len(attrs), "no attribute twice"
        self.elements.append((tag, given))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "form":
            self.forms.append(Form(given.get("action", "")))
        elif tag == "input" and given["type"] == "hidden":
            self.forms[-1].hidden.append((given["name"], given["value"]))
        elif tag == "input" and "form" in self._open:
            self.forms[-1].boxes[given["name"]] = "checked" in given
        elif tag == "button" and "form" in self._open:
            self.forms[-1].buttons[given.get("value", "")] = given.get("name", "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, self.source

    def handle_data(self, data: str) -> None:
        if "style" not in self._open and "title" not in self._open:
            self._words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def choices(self) -> Form:
        """The form with the boxes, which is the last one."""
        return self.forms[-1]

    @property
    def undo(self) -> Form:
        """The form that takes back."""
        [form] = [form for form in self.forms if "undo" in form.buttons]
        return form


def words(text: str) -> str:
    """A text without its blanks, to find it in a page however that is broken into elements."""
    return re.sub(r"\s+", "", text)
