"""From settings to `ClipSpec`s: everything random is decided here, from the seed, before anything is simulated."""

from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from synth.assets import reference
from synth.body import lbs
from synth.body.model import find_bodies, load_body
from synth.cloth.outfit import outfits, sample_items, sample_outfit, taken_in_turn
from synth.config import Config
from synth.errors import SynthError
from synth.motion import catalog, sampler
from synth.motion.clips import realise
from synth.motion.variation import Variations
from synth.rng import generator
from synth.scene.cameras import extents
from synth.scene.sample import find_files, sample_cloth, sample_scene
from synth.spec import BodySpec, ClipSpec, GarmentSpec, RenderSpec, SceneSpec, SimulationSpec
from synth.types import BodyModel

Array = np.ndarray

GOLDEN = 0.6180339887498949
"""Step of a sequence that fills [0, 1) evenly however soon it ends: a few clips show skins from light to dark."""


class Planner:
    """Makes the specs of one run; what the settings name is found and read once.

    Args:
        config: The settings.

    Raises:
        SynthError: a sequence, body, garment, picture or file of betas is not there or cannot be read.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._files = find_files(config.scene)
        self._bodies = find_bodies(config.body.model, config.body.genders)
        self._outfits = taken_in_turn(outfits(config.cloth.garments), generator(config.seed, "wardrobe"))
        self._betas = read_betas(Path(config.body.betas_file)) if config.body.betas_file else None
        motion = config.motion
        self._motions = sampler.plan_motions(
            catalog.find(motion.sequences, motion.amass, actions=motion.actions, subjects=motion.subjects),
            seed=config.seed,
            clips=motion.clips,
            interpolated_share=motion.interpolated_share,
            frames=motion.frames,
            fps=motion.fps,
            method=motion.interpolation,
            variations=Variations(
                mirror_share=motion.mirror_share, speed=motion.speed, yaw=motion.yaw, hands=motion.hands
            ),
            pairs=motion.pairs,
        )
        self.clip = cache(self._clip)

    def clips(self) -> list[ClipSpec]:
        """Every clip of the plan, first attempts."""
        return [self.clip(index) for index in range(self.config.motion.clips)]

    def _clip(self, index: int, attempt: int = 0) -> ClipSpec:
        """One clip of the plan.

        Args:
            index: Number of the clip.
            attempt: Another attempt is another person in other clothes, doing the same.
        """
        config, motion = self.config, self._motions[index]
        gender = config.body.genders[(index + attempt) % len(config.body.genders)]
        path = self._bodies[gender]
        body = _body(path, gender)
        betas = self._sample_betas(body, index, attempt)
        dressing = generator(config.seed, index, attempt, "outfit")
        names = self._outfits[(index + attempt) % len(self._outfits)]
        outfit = sample_outfit(dressing, names, lambda rng: sample_cloth(rng, self._files.textures))
        scene = self._sample_scene(index, attempt, body, betas)
        return ClipSpec(
            seed=config.seed,
            index=index,
            motion=motion,
            body=BodySpec(file=reference(path), name=body.name, gender=gender, betas=tuple(betas.tolist())),
            outfit=outfit,
            items=() if not names else self._sample_items(index, attempt, outfit, scene),
            simulation=SimulationSpec(
                solver=config.cloth.solver, quality=config.cloth.quality, retries=config.cloth.retries
            ),
            scene=scene,
            render=RenderSpec(
                samples=config.render.samples,
                denoise=config.render.denoise,
                jpeg_quality=config.render.jpeg_quality,
                exposure=config.render.exposure,
            ),
        )

    def _sample_items(
        self, index: int, attempt: int, outfit: tuple[GarmentSpec, ...], scene: SceneSpec
    ) -> tuple[GarmentSpec, ...]:
        """Hair in the colour of the scalp's, which the bald have in that of their skin, and shoes."""
        skin, cloth = scene.skin, self.config.cloth
        return sample_items(
            generator(self.config.seed, index, attempt, "items"),
            outfit,
            hair=cloth.hair,
            shoes=cloth.shoes,
            hair_colour=None if skin.accent == skin.colour else skin.accent,
            look=lambda rng: sample_cloth(rng, ()),
        )

    def _sample_betas(self, body: BodyModel, index: int, attempt: int) -> Float[Array, " B"]:
        """Shape coefficients: from the file, or normal and drawn anew while beyond the limit."""
        count = body.shapedirs.shape[2]
        if self._betas is not None:
            row = self._betas[index % len(self._betas)]
            if len(row) != count:
                raise SynthError(
                    f"{self.config.body.betas_file}: rows of {len(row)} betas; the body {body.name} has {count}",
                    f"Give {count} numbers a row",
                )
            return row
        rng, config = generator(self.config.seed, index, attempt, "betas"), self.config.body
        betas = rng.normal(size=count)
        while (beyond := np.abs(betas) > config.betas_limit).any():
            betas[beyond] = rng.normal(size=int(beyond.sum()))
        return np.round(betas * config.betas_std, 6)

    def _sample_scene(self, index: int, attempt: int, body: BodyModel, betas: Float[Array, " B"]) -> SceneSpec:
        """A scene whose cameras stand where the person fits into every picture."""
        motion, _ = realise(self._motions[index], body, betas)
        vertices, joints = lbs.posed(body, betas, motion.global_orient, motion.body_pose, motion.transl)
        extent, travel = extents(vertices, joints[:, 0])
        tone = (generator(self.config.seed, "skin tones").random() + (index + attempt) * GOLDEN) % 1.0
        rng = generator(self.config.seed, index, attempt, "scene")
        return sample_scene(rng, config=self.config.scene, files=self._files, extent=extent, travel=travel, tone=tone)


def read_betas(path: Path) -> Float[Array, "N B"]:
    """Read shape coefficients, one row a clip; used in turn if there are fewer rows than clips.

    Args:
        path: A .npy file, or text with numbers separated by blanks or commas.

    Raises:
        SynthError: the file is missing, no table of numbers, or holds numbers that are not finite.
    """
    try:
        if path.suffix == ".npy":
            table = np.load(path, allow_pickle=False)
        else:
            table = np.loadtxt(path, delimiter="," if "," in path.read_text() else None, ndmin=2)
    except OSError as error:
        raise SynthError(f"{path}: {error.strerror or error}", "Give --betas an existing file") from None
    except (ValueError, UnicodeDecodeError, EOFError) as error:
        raise SynthError(f"{path}: no table of numbers ({error})") from None
    if table.dtype.kind not in "fiu" or not np.isfinite(table).all() or table.ndim not in (1, 2) or not table.size:
        raise SynthError(f"{path}: expected rows of finite numbers, got {table.dtype} {table.shape}")
    return np.atleast_2d(table).astype(np.float64)


@cache
def _body(path: Path, gender: str) -> BodyModel:
    return load_body(path, gender)
