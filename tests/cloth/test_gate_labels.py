"""The gate's limits against garments in motion that one person looked at and labelled.

`labels.json` holds the worst frame of each measure. "sound" are clips of the pipeline (CMU 01 and 02, three genders,
all kinds of garments); "broken" ones were made with too few sub-steps, at several times the speed or without lead-in.
"""

import json
from pathlib import Path

import pytest

from synth.cloth.contact import CONTACT_LIMITS
from synth.cloth.quality import LIMITS

LABELS = json.loads((Path(__file__).parent / "labels.json").read_text())
SHARED = ("penetration", "mean_penetration", "deep_penetration", "depth", "poke_through", "strain_99", "strain_max")


def refusals(row):
    """Names of the measures beyond their limits."""
    measured, end = row["measures"], "_loose" if row["loose"] else ""
    limits = {name: getattr(LIMITS, name) for name in SHARED}
    limits |= {name: getattr(LIMITS, name + end) for name in ("strain", "speed_ratio")}
    limits |= {name: getattr(CONTACT_LIMITS, name) for name in ("layers", "itself", "crumpled")}
    limits["stretched"] = getattr(CONTACT_LIMITS, "stretched" + end)
    if not row["loose"]:
        limits |= {"drift": LIMITS.drift, "slipped": LIMITS.slipped}
    found = [name for name, limit in limits.items() if measured[name] > limit]
    if not row["loose"] and measured["coverage"] < LIMITS.coverage:
        found.append("coverage")
    return found


@pytest.mark.parametrize("row", LABELS, ids=lambda row: f"{row['clip']}-{row['garment']}")
def test_sound_garments_pass_and_broken_ones_do_not(row):
    """Mutation: any limit tightened into the sound ones, or widened past what refuses a broken one."""
    assert bool(refusals(row)) == (row["label"] == "broken"), refusals(row)


def test_there_are_labels_of_both_kinds():
    kinds = [row["label"] for row in LABELS]
    assert kinds.count("broken") >= 11
    assert kinds.count("sound") >= 46
