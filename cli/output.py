"""Where a command writes what holds addresses."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def output_file(path: Path | None) -> Iterator[TextIO]:
    """The file at `path`, which appears whole or not at all and is readable by its owner alone; or standard output."""
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    # Under another name until it is whole: nobody takes half an export for all of it.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
