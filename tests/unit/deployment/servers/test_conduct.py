"""How a version's servers behave is evidence against it, over restarts of the controller."""

from __future__ import annotations

from pathlib import Path

from facemodels.deployment.servers.conduct import ConductBook
from facemodels.monitoring.analysis.conduct import ServerConduct, fired_by_conduct
from facemodels.monitoring.settings import VerdictSettings

ID, EVENT = "rec-facenet-v1.1.0", "recognition-facenet#rollout#2"
SETTINGS = VerdictSettings(deaths=3, progress_s=60)


def test_deaths_outlive_the_controller_and_end_with_the_next_deployment(tmp_path: Path) -> None:
    book = ConductBook(tmp_path)
    book.begin(ID, EVENT)
    book.died(ID, "signal 9")
    book.waited(ID, 2.0)
    book.died(ID, "signal 11")
    book = ConductBook(tmp_path)
    book.begin(ID, EVENT)
    assert book.all() == {ID: ServerConduct(2, "signal 11", 2.0)}
    book.begin(ID, "recognition-facenet#rollout#4")
    assert book.all() == {ID: ServerConduct()}
    book.keep({})
    assert book.all() == {}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_loses_no_death(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    book = ConductBook(tmp_path / "file/conduct")
    book.begin(ID, EVENT)
    book.died(ID, "signal 9")
    assert book.all()[ID].deaths == 1


def test_a_crash_loop_and_a_version_that_never_gets_ready_are_grounds_to_take_it_back() -> None:
    assert fired_by_conduct(SETTINGS, ServerConduct(2, "signal 9", 59.0)) == ()
    [crashed] = fired_by_conduct(SETTINGS, ServerConduct(3, "signal 9", 3.0))
    assert crashed.reason == "its servers died 3 times (the last time: signal 9)"
    [late] = fired_by_conduct(SETTINGS, ServerConduct(0, "", 61.0))
    assert late.reason == "it was not ready for 61 s; it has 60 s"
