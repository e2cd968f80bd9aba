"""The file of samples: whatever happens to it, to its writer, or to the clock."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facemodels.errors import ToolError
from facemodels.monitoring.metrics import database
from facemodels.monitoring.metrics.increase import InstanceReading, increases
from facemodels.monitoring.metrics.reading import Histogram, Reading, Series
from facemodels.monitoring.metrics.scraper import MissingReading, Scrape, ScrapeTarget
from facemodels.monitoring.metrics.source import memory, tally, total_increase, windows
from facemodels.monitoring.metrics.store import SampleStore, StoredSamples

OLD, NEW = Series("recognition-facenet", "2.1.3"), Series("recognition-facenet", "2.2.0")
START = 1_800_000_000.0


class Clock:
    """The machine's clock and the seconds since its start; both stand still unless told."""

    def __init__(self) -> None:
        self.wall, self.elapsed = START, 50.0

    def step(self, seconds: float = 1.0) -> None:
        self.wall += seconds
        self.elapsed += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def begin(folder: Path, clock: Clock, **options: float) -> SampleStore:
    return SampleStore(
        folder / "samples.db", wall=lambda: clock.wall, elapsed=lambda: clock.elapsed, **options
    )


def reading(requests: int, errors: int = 0, mb: float = 100, gpu: float | None = None) -> Reading:
    done = requests - errors
    return Reading(
        statuses=(done, 0, 0, 0, errors),
        latency=Histogram((0.1, 1.0), (done, errors, 0), 0.05 * requests),
        inference=Histogram((0.1,), (done, 0), 0.01 * done),
        memory_bytes=mb * 1e6,
        in_flight=1,
        gpu_memory_bytes=gpu,
        gpu_load=None if gpu is None else 0.5,
    )


def look(series: Series, found: Reading | MissingReading, instance: str = "one@1") -> Scrape:
    return Scrape(ScrapeTarget("http://127.0.0.1:1", series, instance), found)


def test_windows_hold_what_happened_between_the_looks(tmp_path: Path, clock: Clock) -> None:
    store = begin(tmp_path, clock)
    for second in range(11):
        scrapes = [look(OLD, reading(1000 + 10 * second)), look(NEW, reading(2 * second, second))]
        store.put(scrapes if second else [])
        clock.step()
    found = windows(store, NEW, OLD, START, START + 10.9, 5)
    assert [(window.start, window.end) for window in found] == [
        (START, START + 5),
        (START + 5, START + 10),
    ]
    # Both appeared after the first pass, so they count from zero.
    assert [(w.canary.requests, w.canary.errors) for w in found] == [(10, 5), (10, 5)]
    assert [w.stable.requests for w in found] == [1050, 50]
    assert found[1].canary.latency == (5, 5, 0)
    assert tally(store, OLD, START + 3, START + 6).requests == 30
    assert total_increase(store, NEW, START, START + 10).inferences == 10
    store.close()


def test_missing_numbers_are_none_and_never_zero(tmp_path: Path, clock: Clock) -> None:
    store = begin(tmp_path, clock)
    store.put([])
    for second in range(1, 13):
        clock.step()
        gone = 5 <= second < 9
        found = MissingReading("refused") if gone else reading(2 * second)
        store.put([look(OLD, reading(second)), look(NEW, found)])
    found = windows(store, NEW, OLD, START, START + 12, 4)
    assert [window.stable.requests for window in found] == [4, 4, 4]
    # Nobody knows of the second window; the third has what came to light in it.
    assert [window.canary and window.canary.requests for window in found] == [8, None, 16]
    told = store.missing(NEW, START, START + 12)
    assert [(at - START, why) for at, _, why in told] == [(t, "refused") for t in (5, 6, 7, 8)]
    assert windows(store, Series("no-model", "1.0.0"), OLD, START, START + 4, 4)[0].canary is None
    store.close()


def test_a_version_that_is_there_and_does_nothing_has_zeros(tmp_path: Path, clock: Clock) -> None:
    store = begin(tmp_path, clock)
    for _ in range(4):
        store.put([look(OLD, reading(500))])
        clock.step()
    assert windows(store, NEW, OLD, START, START + 3, 3)[0].stable.requests == 0
    store.close()


def test_a_server_found_at_the_first_pass_does_not_count_its_past(
    tmp_path: Path, clock: Clock
) -> None:
    store = begin(tmp_path, clock)
    for requests in (1_000_000, 1_000_003):
        store.put([look(OLD, reading(requests))])
        clock.step()
    assert tally(store, OLD, START - 1, START + 5).requests == 3
    store.close()


def test_a_server_older_than_the_file_does_not_count_its_past(tmp_path: Path, clock: Clock) -> None:
    """The file was lost, and the controller made a pass before it found the servers again."""
    store = begin(tmp_path, clock)
    store.put([])
    for requests in (1000, 1004):
        clock.step()
        for started, instance in ((49.0, "old@1"), (50.5, "new@2")):
            target = ScrapeTarget("http://127.0.0.1:1", OLD, instance, started)
            store.put([Scrape(target, reading(requests))])
    assert tally(store, OLD, START, START + 9).requests == 4 + 1004
    store.close()


def test_a_restarted_server_counts_from_zero_and_nothing_is_lost(
    tmp_path: Path, clock: Clock
) -> None:
    store = begin(tmp_path, clock)
    steps = [("a@1", 0), ("a@1", 70), ("a@2", 5), ("a@2", 9), ("a@2", 2), ("a@2", 400)]
    store.put([])
    for instance, requests in steps:
        clock.step()
        store.put([look(OLD, reading(requests), instance)])
    assert tally(store, OLD, START, START + 10).requests == 70 + 9 + 400
    assert sum(
        window.stable.requests for window in windows(store, NEW, OLD, START, START + 6, 1)
    ) == 70 + 9 + 400  # fmt: skip
    store.close()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50)), min_size=1, max_size=40),
    st.integers(1, 9),
    st.integers(0, 20),
)
def test_leaving_out_looks_changes_no_window(
    tmp_path_factory: pytest.TempPathFactory, steps, width: int, since: int
) -> None:
    clock = Clock()
    store = begin(tmp_path_factory.mktemp("store"), clock)
    store.put([])
    full: list[InstanceReading] = []
    known: set[str] = set()
    for instance, requests in steps:
        clock.step()
        at = store.put([look(OLD, reading(requests), instance)])
        full.append(InstanceReading(at, instance, instance not in known, reading(requests)))
        known.add(instance)
    begun, until = START + since, START + len(steps)
    for start in range(int(begun), int(until), width):
        end = min(start + width, until)
        wanted = [
            done.tally.requests
            for at, done in increases([one for one in full if one.time <= end], start)
        ]
        got = tally(store, OLD, start, end)
        assert (got.requests if got else None) == (sum(wanted) if wanted else None)
    found = windows(store, NEW, OLD, begun, until, width)
    assert [w.stable for w in found] == [tally(store, OLD, w.start, w.end) for w in found]
    store.close()


def test_peaks_are_those_of_the_largest_server(tmp_path: Path, clock: Clock) -> None:
    store = begin(tmp_path, clock)
    for mb in (100, 900, 300):
        clock.step()
        store.put([look(OLD, reading(1, mb=mb)), look(OLD, reading(1, mb=50, gpu=7.0), "two@1")])
    assert memory(store, OLD, START, START + 3) == 900e6
    assert memory(store, OLD, START + 2, START + 3) == 300e6
    assert memory(store, NEW, START, START + 3) is None
    found = store.peaks(OLD, START, START + 3)
    assert (found.gpu_memory_bytes, found.gpu_load, found.in_flight) == (7.0, 0.5, 1)
    assert store.peaks(OLD, START + 3, START + 9) is None
    store.close()


def test_gauges_come_back_in_order(tmp_path: Path, clock: Clock) -> None:
    store = begin(tmp_path, clock)
    store.put_gauge("facemodels_probe_accuracy", OLD, 0.98)
    clock.step()
    store.put_gauge("facemodels_probe_accuracy", OLD, 0.91)
    store.put_gauge("facemodels_probe_accuracy", NEW, 0.5, START - 3)
    ask = ("facemodels_probe_accuracy", OLD, START - 1, START + 9)
    assert store.gauge(*ask) == [(START, 0.98), (START + 1, 0.91)]
    store.close()


def test_a_clock_that_goes_back_breaks_no_window(tmp_path: Path, clock: Clock) -> None:
    store = begin(tmp_path, clock)
    store.put([])
    for second in range(1, 5):
        clock.step()
        if second == 3:
            clock.wall -= 3600
        store.put([look(OLD, reading(10 * second))])
    assert store.now() == START + 4
    assert [w.stable.requests for w in windows(store, NEW, OLD, START, START + 4, 2)] == [20, 20]
    reader = StoredSamples(tmp_path / "samples.db")
    assert abs(reader.now() - store.now() - (_wall() - clock.wall)) < 5
    store.close()


def _wall() -> float:
    import time

    return time.time()


def test_a_clock_that_went_back_before_a_start_dates_the_past_back(
    tmp_path: Path, clock: Clock
) -> None:
    store = begin(tmp_path, clock)
    store.put([])
    for second in range(1, 5):
        clock.step()
        store.put([look(OLD, reading(10 * second))])
    store.put_gauge("facemodels_probe_accuracy", OLD, 0.9)
    store.close()
    clock.wall = START - 1000
    store = begin(tmp_path, clock)
    assert store.now() == START - 1000
    for second in range(5, 9):
        clock.step()
        store.put([look(OLD, reading(10 * second))])
    found = windows(store, NEW, OLD, START - 1004, START - 996, 4)
    assert [w.stable.requests for w in found] == [40, 40]
    assert store.gauge("facemodels_probe_accuracy", OLD, 0, START) == [(START - 1000, 0.9)]
    store.close()


def test_what_is_older_than_the_retention_goes_and_sums_stay_right(
    tmp_path: Path, clock: Clock
) -> None:
    store = begin(tmp_path, clock, retention_s=100)
    store.put([])
    for second in range(1, 400):
        clock.step()
        store.put([look(OLD, reading(second)), *([look(NEW, reading(9))] if second < 5 else [])])
    with database.reading(store.path) as file:
        (oldest,) = file.execute("SELECT min(time) FROM passes").fetchone()
        instances = file.execute("SELECT version FROM instances").fetchall()
    assert 100 <= store.now() - oldest <= 100 + 60
    assert instances == [("2.1.3",)]
    # The first look that is left is not the first there was: it is where counting starts.
    got = tally(store, OLD, 0, store.now())
    assert got.requests == store.now() - oldest
    store.close()


def test_others_read_while_the_writer_writes(tmp_path: Path, clock: Clock) -> None:
    store = begin(tmp_path, clock)
    store.put([])
    ended = threading.Event()
    failed: list[Exception] = []
    sums: list[int] = []

    def read() -> None:
        reader = StoredSamples(tmp_path / "samples.db")
        try:
            while not ended.is_set():
                got = tally(reader, OLD, START, START + 1000)
                sums.append(got.requests if got else 0)
        except Exception as error:  # noqa: BLE001  (whatever it is, the test tells it)
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for second in range(1, 200):
        clock.step()
        store.put([look(OLD, reading(second))])
    ended.set()
    for thread in threads:
        thread.join()
    store.close()
    assert not failed
    assert max(sums) <= 199
    assert tally(StoredSamples(tmp_path / "samples.db"), OLD, START, START + 1000).requests == 199


_WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_store import OLD, look, reading
from facemodels.monitoring.metrics.store import SampleStore
store = SampleStore(Path(sys.argv[1]))
store.put([])
for number in range(1, 10**6):
    store.put([look(OLD, reading(number), f"server@{n}") for n in range(20)])
    print(number, flush=True)
"""


def test_a_kill_at_any_moment_loses_nothing_that_was_said_to_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "samples.db"
    for round_ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = []
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(int(line))
                if len(lines) == 20 + 7 * round_:
                    # A pass takes some ms: the kill falls within one, each time elsewhere.
                    threading.Event().wait(0.0007 * round_)
                    os.kill(process.pid, signal.SIGKILL)
                    break
            lines += [int(line) for line in process.stdout if line.endswith("\n")]
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        with database.reading(path) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            (last,) = file.execute(
                "SELECT total FROM readings WHERE total IS NOT NULL ORDER BY pass DESC"
            ).fetchone()
            halves = file.execute(
                "SELECT pass FROM readings GROUP BY pass HAVING count(*) <> 20"
            ).fetchall()
        assert halves == []
        assert last >= reading(lines[-1]).total
        assert last <= reading(lines[-1] + 1).total
    assert not path.with_name("samples.db.broken").exists()


def _text(path: Path) -> None:
    path.write_text("no database " * 1000)


def _torn(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))


def _newer(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [_text, _torn, _newer])
def test_a_broken_file_is_moved_aside_and_a_new_one_begun(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, harm
) -> None:
    store = begin(tmp_path, clock)
    for second in range(1, 50):
        clock.step()
        store.put([look(OLD, reading(second))])
    store.close()
    harm(store.path)
    with caplog.at_level(logging.WARNING):
        store = begin(tmp_path, clock)
    assert "moved to samples.db.broken" in caplog.text
    assert (tmp_path / "samples.db.broken").exists()
    store.put([look(OLD, reading(100))])
    clock.step()
    store.put([look(OLD, reading(103))])
    assert tally(store, OLD, START, START + 100).requests == 3
    store.close()


def test_an_empty_file_is_begun(tmp_path: Path, clock: Clock) -> None:
    _empty(tmp_path / "samples.db")
    store = begin(tmp_path, clock)
    store.put([look(OLD, reading(1))])
    assert not (tmp_path / "samples.db.broken").exists()
    store.close()


def test_a_file_that_breaks_while_it_is_open_is_replaced_by_the_next_pass(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = begin(tmp_path, clock)
    for second in range(1, 200):
        clock.step()
        store.put([look(OLD, reading(second))])
    store._file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = store.path.stat().st_size
    with store.path.open("r+b") as file:
        file.write(b"x" * size)
    with pytest.raises(ToolError, match=r"samples\.db cannot be read"):
        tally(store, OLD, START, START + 300)
    assert "broken" in caplog.text
    clock.step()
    store.put([look(OLD, reading(500))])
    clock.step()
    store.put([look(OLD, reading(501))])
    assert tally(store, OLD, START, START + 300).requests == 1
    assert store.problem == ""
    store.close()


def test_a_full_disk_is_an_error_and_the_store_goes_on_when_there_is_room(
    tmp_path: Path, clock: Clock
) -> None:
    store = begin(tmp_path, clock)
    store.put([look(OLD, reading(1))])
    (pages,) = store._file.execute("PRAGMA page_count").fetchone()
    store._file.execute(f"PRAGMA max_page_count = {pages + 2}")  # SQLite's own "disk is full"

    def fill() -> None:
        for second in range(1, 1000):
            clock.step()
            store.put([look(OLD, reading(second))])

    with pytest.raises(ToolError, match=r"full.*Traffic is not touched"):
        fill()
    before = tally(store, OLD, START, START + 2000)
    assert 0 < before.requests < 1000
    store._file.execute("PRAGMA max_page_count = 1000000")
    clock.step()
    store.put([look(OLD, reading(5000))])
    assert tally(store, OLD, START, START + 2000).requests == 4999
    store.close()


def test_a_place_where_nobody_may_write_is_an_error_with_its_path(
    tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolError, match="file"):
        begin(tmp_path / "file", clock)
    (tmp_path / "samples.db").mkdir()
    with pytest.raises(ToolError, match=r"samples\.db"):
        begin(tmp_path, clock)


def test_a_reader_without_a_file_is_told_so(tmp_path: Path) -> None:
    reader = StoredSamples(tmp_path / "samples.db")
    with pytest.raises(ToolError, match=r"samples\.db cannot be read"):
        reader.readings(OLD, 0, 1)
    assert "cannot be read" in reader.problem
    assert not list(tmp_path.iterdir())
