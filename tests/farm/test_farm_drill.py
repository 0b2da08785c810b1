"""The failure drill as tests: minutes of killing and cutting, so only where RAIMENT_FARM_DRILL is set."""

import os
from pathlib import Path

import drill
import pytest

pytestmark = [
    pytest.mark.farm,
    pytest.mark.skipif(not os.environ.get("RAIMENT_FARM_DRILL"), reason="takes ten minutes: RAIMENT_FARM_DRILL=1"),
]


@pytest.mark.parametrize("name", list(drill.FAULTS))
def test_nothing_is_lost_spoilt_or_left_behind(name: str, tmp_path: Path) -> None:
    try:
        verdict = drill.run_fault(name, tmp_path)
    except drill.Skip as why:
        pytest.skip(str(why))
    assert verdict.well, verdict
