"""A served log: proven from its tiles, and every file of it falsified once."""

from io import BytesIO

import pytest

from tests.verifier.given import ADA, BOB, TRUST, Log, capture, demo_log, dumped, texts
from verifier.report import Report, Unusable
from verifier.verify import log_served, verify_file, verify_served

ENTRIES = 600


@pytest.fixture(scope="module")
def long_log() -> Log:
    log = demo_log()
    while log.size() < ENTRIES:
        log.add("ConsentCaptured", ADA if log.size() % 3 else BOB, capture("OPTED_IN"))
    return log


@pytest.fixture(scope="module")
def files(long_log: Log) -> dict[str, bytes]:
    return long_log.served()


def report_on(files: dict[str, bytes]) -> Report:
    def fetch(path: str) -> bytes:
        if path not in files:
            raise Unusable(f"{path}: is not served")
        return files[path]

    return verify_served(fetch, TRUST)


def test_a_served_log_is_proven(files: dict[str, bytes]) -> None:
    said = texts(report_on(files))
    assert "PROVEN  the log is here whole: 600 entries" in said
    assert "tile/entries/002.p/88" in files


def test_a_served_log_is_a_log_to_hold_a_bundle_against(files: dict[str, bytes], long_log: Log) -> None:
    bundle = demo_log().bundle()
    bundle = dumped(bundle)
    report = verify_file(BytesIO(bundle), TRUST, log=log_served(files.__getitem__, TRUST))
    assert "PROVEN  that there are no more of this contact point" in texts(report)


def test_every_file_matters(files: dict[str, bytes]) -> None:
    for path, raw in files.items():
        for falsified in (raw[:-1], raw + b"x", raw[:-1] + bytes([raw[-1] ^ 1]), b""):
            try:
                proven = report_on({**files, path: falsified}).proven
            except Unusable:
                continue
            assert not proven, path
        with pytest.raises(Unusable):
            report_on({name: held for name, held in files.items() if name != path})


def test_a_served_log_that_signs_nonsense_is_not_proven(long_log: Log) -> None:
    log = Log(entries=list(long_log.entries), positions={key: list(held) for key, held in long_log.positions.items()})
    log.add("ConsentCaptured", ADA, capture("OPTED_IN"), number=0, previous=None)
    assert "position 600: number: is 0" in str(report_on(log.served()).failure)
