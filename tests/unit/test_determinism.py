"""Settings of the libraries that compute: set before their import, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facemodels.determinism import PORTABLE, READERS, as_served, record, settle, settled
from facemodels.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in PORTABLE:
        monkeypatch.delenv(key, raising=False)


def run(script: str) -> str:
    """What a fresh interpreter prints, in an environment without the settings."""
    environment = as_served(os.environ)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_process_that_imported_numpy_before_the_settings_refuses_to_build(unset: None) -> None:
    import numpy  # noqa: F401

    with pytest.raises(InputError, match=r"numpy.* was imported before"):
        settle("portable")
    assert settled() == "machine"


def test_machine_sets_nothing(unset: None) -> None:
    settle("machine")
    assert record() == {"mode": "machine", "settings": {}}


def test_a_process_that_inherited_the_settings_may_have_imported_anything(
    unset: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in PORTABLE.items():
        monkeypatch.setenv(key, value)
    settle("portable")
    assert record() == {"mode": "portable", "settings": dict(PORTABLE)}


def test_what_measures_a_server_runs_without_the_settings() -> None:
    assert as_served({**PORTABLE, "HOME": "/root"}) == {"HOME": "/root"}


def test_the_settings_reach_the_libraries() -> None:
    answers = run(
        "from facemodels.determinism import settle; settle('portable')\n"
        "import cv2; from numpy._core import _multiarray_umath as numpy\n"
        "features = numpy.__cpu_features__\n"
        "print([name for name in ('X86_V4', 'AVX512_ICL', 'AVX512_SPR') if features.get(name)])\n"
        "print([one for one in cv2.getCPUFeaturesLine().split() if one == '*AVX512-SKX'])\n"
        "print('AVX-512' in cv2.ipp.getIppVersion(), cv2.getNumThreads())\n"
    )
    assert answers.split("\n")[:3] == ["[]", "[]", "False 1"]


def test_the_settings_name_all_that_numpy_has_above_avx2() -> None:
    from numpy._core import _multiarray_umath

    above = [name for name in _multiarray_umath.__cpu_dispatch__ if name != "X86_V3"]
    assert PORTABLE["NPY_DISABLE_CPU_FEATURES"].split() == above


def test_a_stages_script_loads_no_library_that_computes_before_it_runs() -> None:
    loaded = run(
        "import runpy, sys; from pathlib import Path\n"
        "for script in Path('stages').glob('*.py'): runpy.run_path(str(script))\n"
        f"print([name for name in {READERS!r} if name in sys.modules])\n"
    )
    assert loaded.strip() == "[]"


@pytest.mark.parametrize(("command", "mode"), [("train", "portable"), ("serve", "machine")])
def test_a_command_that_builds_settles_and_one_that_serves_does_not(
    command: str, mode: str
) -> None:
    answer = run(
        "import sys; from contextlib import suppress\n"
        "from facemodels.cli.main import main; from facemodels.determinism import settled\n"
        f"sys.argv = ['facemodels', {command!r}, '--help']\n"
        "with suppress(SystemExit): main()\n"
        "print(settled())\n"
    )
    assert answer.splitlines()[-1] == mode
