"""What a person can do: bring in bodies, motions, garments and clips, mark, try in motion, export."""

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import bpy
import numpy as np

from . import meshes, pipeline

GENDERS = [("neutral", "Neutral", ""), ("male", "Male", ""), ("female", "Female", "")]


class RaimentOperator(bpy.types.Operator):
    """An operator that says what is wrong instead of showing a traceback."""

    bl_idname = "raiment.nothing"
    bl_label = "Nothing"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Do it."""
        if missing := pipeline.ready():
            self.report({"ERROR"}, missing)
            return {"CANCELLED"}
        from garments.catalog import CatalogError
        from synth.errors import SynthError

        try:
            self.report({"INFO"}, self.act(context))
        except (SynthError, CatalogError, ValueError, RuntimeError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def act(self, context: bpy.types.Context) -> str:
        """Do it; return what to say."""
        raise NotImplementedError


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.replace(",", " ").split()]


def _shape(body: Any, text: str) -> np.ndarray:
    betas = np.zeros(body.shapedirs.shape[2])
    values = _numbers(text)[: len(betas)]
    betas[: len(values)] = values
    return betas


def _body_of(thing: Any | None) -> tuple[Any, np.ndarray]:
    """The body model and shape of an object made by `import_body`; the reference body if there is none."""
    from synth.body.model import find_bodies, load_body

    model, gender, betas = ("free", "neutral", "")
    if thing is not None:
        model, gender, betas = thing.raiment.model, thing.raiment.gender, thing.raiment.betas
    body = load_body(find_bodies(model, (gender,))[gender], gender)
    return body, _shape(body, betas)


def _body_object(scene: Any) -> Any | None:
    return next((thing for thing in scene.objects if thing.raiment.kind == "BODY"), None)


class ImportBody(RaimentOperator):
    """Bring in a body in the A-pose: the free one that garments are drawn on, or a licensed one to try them on."""

    bl_idname = "raiment.import_body"
    bl_label = "Body"
    model: bpy.props.StringProperty(
        name="Model", default="free", description="free, or a folder or file of SMPL models"
    )
    gender: bpy.props.EnumProperty(name="Gender", items=GENDERS)
    betas: bpy.props.StringProperty(name="Betas", description="Shape: numbers separated by blanks; none: the mean")

    def act(self, context: bpy.types.Context) -> str:
        """Add the body."""
        from synth.body.model import find_bodies, load_body
        from synth.body.shape import rest_surface

        body = load_body(find_bodies(self.model, (self.gender,))[self.gender], self.gender)
        surface = rest_surface(body, _shape(body, self.betas))
        thing = meshes.add_mesh("body", meshes.to_blender(surface), body.faces)
        marks = thing.raiment
        marks.kind, marks.model, marks.gender, marks.betas = "BODY", self.model, self.gender, self.betas
        return f"{len(surface)} vertices"


class ImportMotion(RaimentOperator):
    """Give the body a motion: an AMASS file, or an AMC or BVH file, to which the body is fitted first."""

    bl_idname = "raiment.import_motion"
    bl_label = "Motion"
    filepath: bpy.props.StringProperty(name="File", description="AMASS .npz, .amc, .bvh; or cmu:01_01")
    first: bpy.props.IntProperty(name="First frame", min=0)

    def invoke(self, context: bpy.types.Context, _event: Any) -> set[str]:
        """Ask for the file."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def act(self, context: bpy.types.Context) -> str:
        """Note the motion on the body."""
        from synth.motion import catalog

        body = _body_object(context.scene)
        if body is None:
            raise ValueError("no body: bring one in first")
        place = self.filepath
        if Path(place).suffix.lower() in (".amc", ".bvh"):
            place = str(pipeline.fit_capture(Path(place), Path(tempfile.mkdtemp(prefix="raiment-motion-"))))
        found = catalog.find(place)[0]
        body.raiment.motion, body.raiment.first = place, self.first
        return f"{found.name}: {found.frames} frames at {found.fps:g} Hz"


class ImportGarment(RaimentOperator):
    """Bring in a garment by its name, or from its folder; to be changed on the body it was made on, or fitted."""

    bl_idname = "raiment.import_garment"
    bl_label = "Garment"
    name: bpy.props.StringProperty(name="Garment", default="tshirt", description="Name, or a garment's folder")
    fit: bpy.props.BoolProperty(name="Fit to the body", description="Else it stays on the body that it was made on")

    def act(self, context: bpy.types.Context) -> str:
        """Add the garment."""
        from garments import catalog

        folder = Path(self.name)
        own = (folder / "garment.toml").exists()
        garment = catalog.load(folder.name, folder.parent) if own else catalog.load(self.name)
        vertices = garment.vertices
        if self.fit:
            from synth.cloth.dress import fitted_to

            vertices = fitted_to(*_body_of(_body_object(context.scene)), garment)[1]
        meshes.add_garment(garment, vertices)
        return f"{garment.name}: {len(garment.vertices)} vertices"


class ImportClip(RaimentOperator):
    """Bring in a clip that the pipeline has simulated (a .npz file of a run's simulation cache)."""

    bl_idname = "raiment.import_clip"
    bl_label = "Simulated clip"
    filepath: bpy.props.StringProperty(name="File")

    def invoke(self, context: bpy.types.Context, _event: Any) -> set[str]:
        """Ask for the file."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def act(self, context: bpy.types.Context) -> str:
        """Add the moving body and garments."""
        from synth.cloth.store import read_meshes

        clip = read_meshes(Path(self.filepath))
        body, _ = _body_of(_body_object(context.scene))
        if clip.body_vertices_world.shape[1] != len(body.v_template):
            raise ValueError("the clip is of another body model: bring in that body first")
        _add_moving(context.scene, "clip body", clip.body_vertices_world, body.faces)
        for garment, moved in clip.garments:
            _add_moving(context.scene, f"clip {garment.name}", moved, garment.faces, garment.uv)
        return f"{len(clip.body_vertices_world)} frames, {len(clip.garments)} garments"


def _add_moving(scene: Any, name: str, moved: np.ndarray, faces: np.ndarray, uv: np.ndarray | None = None) -> Any:
    """An object that takes its shape from a point cache, from frame 1 on; an older one of that name goes."""
    from synth.blender import session

    if (old := scene.objects.get(name)) is not None:
        bpy.data.objects.remove(old, do_unlink=True)
    thing = meshes.add_mesh(name, moved[0], faces, uv)
    with tempfile.NamedTemporaryFile(prefix=f"raiment-{name.replace(' ', '-')}-", suffix=".pc2", delete=False) as file:
        path = Path(file.name)
    session.write_pc2(path, moved)
    session.follow_file(thing, path)
    scene.frame_start, scene.frame_end = 1, len(moved)
    return thing


class Simulate(RaimentOperator):
    """Let the pipeline simulate the garments in the scene on the body's motion, and show what the gate says."""

    bl_idname = "raiment.simulate"
    bl_label = "Try in motion"
    frames: bpy.props.IntProperty(name="Frames", default=30, min=2, max=600, description="At 30 Hz")
    solver: bpy.props.EnumProperty(
        name="Solver",
        items=[("cloth", "Cloth", ""), ("softbody", "Soft body", ""), ("skinned", "None: follow the body", "")],
    )
    quality: bpy.props.IntProperty(name="Sub-steps", default=10, min=1, max=200, description="Per 1/30 s")

    def act(self, context: bpy.types.Context) -> str:
        """Simulate in another process and add what moved."""
        from garments import catalog

        body = _body_object(context.scene)
        if body is None or not body.raiment.motion:
            raise ValueError("bring in a body and a motion first")
        drawn = [thing for thing in context.scene.objects if thing.raiment.kind == "GARMENT"]
        if not drawn:
            raise ValueError("no garment to try: bring one in, or mark an object as one")
        drawn.sort(key=lambda thing: thing.raiment.layer)
        with tempfile.TemporaryDirectory(prefix="raiment-") as place:
            folder, out = Path(place) / "garments", Path(place) / "moved.npz"
            made = [meshes.garment_of(thing, f"drawn_{k}") for k, thing in enumerate(drawn)]
            for garment in made:
                catalog.save(garment, folder)
            marks = body.raiment
            verdict = pipeline.rehearse(
                {
                    "model": marks.model,
                    "gender": marks.gender,
                    "betas": _numbers(marks.betas),
                    "garments": [garment.name for garment in made],
                    "fabrics": [garment.fabric.name for garment in made],
                    "motion": marks.motion,
                    "first": marks.first,
                    "frames": self.frames,
                    "solver": self.solver,
                    "quality": self.quality,
                    "out": str(out),
                },
                folder,
            )
            with np.load(out, allow_pickle=False) as file:
                moved = {name: file[name] for name in file.files}
        faces = _body_of(body)[0].faces
        _add_moving(context.scene, "moving body", moved["body"], faces)
        for thing, garment in zip(drawn, made, strict=True):
            _add_moving(context.scene, f"moving {thing.name}", moved[garment.name], garment.faces, garment.uv)
        said = "; ".join(
            f"{thing.name}: {', '.join(verdict[garment.name]) or 'accepted'}"
            for thing, garment in zip(drawn, made, strict=True)
        )
        context.scene.raiment_verdict = said
        return said


_PARTS: list[tuple[str, str, str]] = []
"""Blender needs the strings of a list made by a function to stay alive."""


def _parts(_self: object, _context: object) -> list[tuple[str, str, str]]:
    """The parts of the body, by number."""
    if not _PARTS and not pipeline.ready():
        from synth.body.joints import JOINT_NAMES

        _PARTS.extend((str(k + 1), name.replace("_", " "), "") for k, name in enumerate(JOINT_NAMES))
    return _PARTS or [("1", "pelvis", "")]


class Mark(RaimentOperator):
    """Mark the selected vertices: pins follow the body, goals keep to it under the soft body, regions cover a part."""

    bl_idname = "raiment.mark"
    bl_label = "Mark vertices"
    group: bpy.props.EnumProperty(
        name="As",
        items=[
            (meshes.PINS, "Pins", "1 is fixed to the body"),
            (meshes.GOALS, "Goals", "Of the soft body"),
            (meshes.REGION, "Region", "What they cover; unmarked vertices cover what is closest to them"),
        ],
    )
    weight: bpy.props.FloatProperty(name="Weight", default=1.0, min=0.0, max=1.0, description="Of pins and goals")
    part: bpy.props.EnumProperty(name="Part", items=_parts, description="For a region")

    def invoke(self, context: bpy.types.Context, _event: Any) -> set[str]:
        """Ask for what to mark them as."""
        return context.window_manager.invoke_props_dialog(self)

    def act(self, context: bpy.types.Context) -> str:
        """Set the weights."""
        thing = context.active_object
        if thing is None or thing.type != "MESH":
            raise ValueError("no mesh is active")
        editing = thing.mode == "EDIT"
        if editing:
            bpy.ops.object.mode_set(mode="OBJECT")
        chosen = [vertex.index for vertex in thing.data.vertices if vertex.select]
        if self.group == meshes.REGION:
            meshes.mark_region(thing, chosen, int(self.part))
        else:
            group = thing.vertex_groups.get(self.group) or thing.vertex_groups.new(name=self.group)
            group.add(chosen, self.weight, "REPLACE")
        thing.raiment.kind = "GARMENT"
        if editing:
            bpy.ops.object.mode_set(mode="EDIT")
        return f"{len(chosen)} vertices"


class ExportGarment(RaimentOperator):
    """Write the active object as a garment's folder and look for faults, as `synth garment check` does."""

    bl_idname = "raiment.export_garment"
    bl_label = "Export garment"
    directory: bpy.props.StringProperty(name="Folder", subtype="DIR_PATH", description="The garment's folder goes here")
    name: bpy.props.StringProperty(name="Name", description="Of the garment; by default the object's")
    reach: bpy.props.FloatProperty(name="Shapes", default=3.0, min=0.0, max=5.0, description="Try it up to these betas")
    grid: bpy.props.BoolProperty(
        name="Every combination",
        default=True,
        description="Try the 81 bodies of `synth garment check` (about a minute), or 21 of them",
    )

    def invoke(self, context: bpy.types.Context, _event: Any) -> set[str]:
        """Ask for the folder."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def act(self, context: bpy.types.Context) -> str:
        """Write the folder; a garment with faults is written too, and refused."""
        from garments import catalog
        from garments.check import check
        from synth.cloth.trial import tried_on

        thing = context.active_object
        if thing is None or thing.type != "MESH":
            raise ValueError("no mesh is active")
        name = "".join(c if c.isalnum() else "_" for c in (self.name or thing.name).lower())
        garment = meshes.garment_of(thing, name)
        place = catalog.save(garment, self.directory)
        faults = check(garment, tried_on(garment, self.reach, grid=self.grid) if self.reach > 0 else ())
        context.scene.raiment_verdict = "; ".join(faults) or "sound"
        if faults:
            raise ValueError(f"{place}: {'; '.join(faults)}")
        return f"{place}: sound"


CLASSES = (ImportBody, ImportMotion, ImportGarment, ImportClip, Simulate, Mark, ExportGarment)
