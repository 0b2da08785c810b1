"""The plan as a whole: what a few clips already show."""

import dataclasses

from synth.config import Config
from synth.plan import Planner


def test_a_few_clips_already_show_skins_from_light_to_dark():
    # catches tones drawn independently: four of five chance draws leave a third of the range out
    config = dataclasses.replace(Config(), motion=dataclasses.replace(Config().motion, clips=4))
    for seed in (0, 1):
        planner = Planner(dataclasses.replace(config, seed=seed))
        brightness = sorted(sum(spec.scene.skin.colour) for spec in planner.clips())
        assert brightness[-1] > 2.5 * brightness[0]
        assert brightness[2] > 1.2 * brightness[1]
