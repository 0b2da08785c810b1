"""Two Blender scenes over the same moving meshes: one for the picture, one for the ground truth.

With persistent data Cycles ignores changed settings unless told; two scenes that keep theirs avoid that trap (only the
noise seed and the crop change). Each mesh carries three shape keys, the previous, the current and the next frame, keyed
at Blender's frames 0, 1 and 2, and so does the camera; Blender's frame stays at 1. That makes the Vector pass right.
"""

from typing import Any

import bpy
import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from garments.garment import Fabric
from synth.blender import materials, session
from synth.geometry.camera import look_at
from synth.scene.lighting import Sun, split
from synth.scene.materials import skin_colours
from synth.spec import AreaLightSpec, ClipSpec, RenderSpec
from synth.types import BodyModel, Camera, SimulatedClip

Array = np.ndarray

MAX_BOUNCES = 6
"""Of light in the picture. There is no floor or room, so that more make no difference."""
SENSOR_MM = 32.0
LAYER = "ViewLayer"
HEM_LAYERS, CLOTH_DENSITY, HEM_RANGE = 3, 400.0, (0.001, 0.005)
"""Layers of cloth in a hem; mass over volume of cloth [kg/m3]; its least and greatest thickness [m]."""


def picture_scene(render: RenderSpec, device: str, threads: int) -> Any:
    """Make the scene that gives the picture: linear RGB and alpha, denoised without prefiltering the guides."""
    scene = _scene("picture", device, threads)
    cycles = scene.cycles
    cycles.samples, cycles.max_bounces = render.samples, MAX_BOUNCES
    cycles.use_denoising = render.denoise
    if render.denoise:
        cycles.denoiser, cycles.denoising_input_passes = "OPENIMAGEDENOISE", "RGB_ALBEDO_NORMAL"
        cycles.denoising_prefilter, cycles.denoising_quality = "NONE", "HIGH"
        cycles.denoising_use_gpu = device != "cpu"
    return scene


def truth_scene(device: str, threads: int) -> Any:
    """Make the scene that gives the ground truth: one ray through each pixel's centre, no light, no blur."""
    scene = _scene("truth", device, threads)
    cycles = scene.cycles
    cycles.samples, cycles.max_bounces, cycles.use_denoising = 1, 0, False
    cycles.pixel_filter_type, cycles.filter_width = "BOX", 0.01
    layer = scene.view_layers[0]
    layer.use_pass_combined, layer.use_pass_z, layer.use_pass_vector = False, True, True
    for name in (materials.LABELS, materials.NORMAL):
        layer.aovs.add().name = name  # a colour unless told otherwise
    return scene


def _scene(name: str, device: str, threads: int) -> Any:
    scene: Any = bpy.data.scenes.new(name)
    scene.view_layers[0].name = LAYER
    render = scene.render
    render.engine, render.film_transparent, render.use_persistent_data = "CYCLES", True, True
    render.use_border, render.use_crop_to_border, render.use_motion_blur = True, True, False
    render.use_compositing = render.use_sequencer = False
    render.resolution_percentage = 100
    if threads:
        render.threads_mode, render.threads = "FIXED", threads
    settings = render.image_settings
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_mode, settings.color_depth, settings.exr_codec = "RGBA", "32", "NONE"
    scene.cycles.device = "CPU" if device == "cpu" else "GPU"
    scene.cycles.use_animated_seed = scene.cycles.use_adaptive_sampling = False
    scene.view_settings.view_transform = "Raw"
    scene.frame_set(1)
    return scene


class Figure:
    """The dressed body as Blender objects, in both scenes.

    Args:
        spec: What the surfaces look like.
        clip: Their shape in each frame.
        body: Topology and parts of the body.
        origin: World position that becomes Blender's origin [m]; keeps single-precision numbers small.
        scenes: Where the objects go.
    """

    def __init__(
        self, spec: ClipSpec, clip: SimulatedClip, body: BodyModel, origin: Float[Array, " 3"], scenes: tuple[Any, ...]
    ) -> None:
        self.clip, self.origin = clip, origin
        self._tracks = [("body", clip.body_vertices_world)]
        self._tracks += [(d.garment.name, clip.garment_vertices_world[d.garment.name]) for d in clip.garments]
        self.objects = [self._body(spec, body)]
        self.objects += [self._garment(spec, index) for index in range(len(clip.garments))]
        for thing, (_, track) in zip(self.objects, self._tracks, strict=True):
            session_collection = bpy.context.scene.collection  # pyright: ignore[reportOptionalMemberAccess]
            session_collection.objects.unlink(thing)
            for scene in scenes:
                scene.collection.objects.link(thing)
            add_keys(thing, track[0] - origin)

    def vertices(self, t: int) -> Float[Array, "N 3"]:
        """All vertices, body and garments, in frame `t`, world frame [m]."""
        return np.concatenate([track[t] for _, track in self._tracks])

    def pose(self, t: int) -> None:
        """Put frame `t` and its neighbours into the shape keys; the neighbour of an end is the end itself."""
        last = len(self.clip.motion) - 1
        around = (max(t - 1, 0), t, min(t + 1, last))
        for thing, (_, track) in zip(self.objects, self._tracks, strict=True):
            for key, frame in zip(list(thing.data.shape_keys.key_blocks)[1:], around, strict=True):
                key.points.foreach_set("co", np.ascontiguousarray(track[frame] - self.origin, np.float32).ravel())
            thing.data.update()

    def _body(self, spec: ClipSpec, body: BodyModel) -> Any:
        thing = session.mesh_object("body", self.clip.body_vertices_world[0] - self.origin, body.faces)
        _set_labels(thing.data, body.face_parts, 0)
        _set_uv(thing.data, body.uv.reshape(-1, 2))
        colours = skin_colours(spec.scene.skin, body.v_template, body.vertex_parts)
        attribute = thing.data.attributes.new(materials.SKIN, "FLOAT_COLOR", "POINT")
        attribute.data.foreach_set("color", np.insert(colours, 3, 1.0, axis=1).astype(np.float32).ravel())
        thing.data.materials.append(materials.skin(spec.scene.skin, "skin"))
        return thing

    def _garment(self, spec: ClipSpec, index: int) -> Any:
        dressed = self.clip.garments[index]
        garment, track = dressed.garment, self._tracks[index + 1][1]
        thing = session.mesh_object(garment.name, track[0] - self.origin, garment.faces)
        _set_labels(thing.data, dressed.face_parts, index + 1)
        _set_uv(thing.data, garment.uv[garment.faces >= 0])
        thing.data.materials.append(materials.cloth((*spec.outfit, *spec.items)[index].material, garment.name))
        if index < len(spec.outfit):
            _hem(thing, garment.fabric)
        return thing


def hem_thickness(fabric: Fabric) -> float:
    """How thick a hem of this cloth is [m]: three layers, of the fibres' and the air's mean density."""
    return float(np.clip(HEM_LAYERS * fabric.density / CLOTH_DENSITY, *HEM_RANGE))


def _hem(thing: Any, fabric: Fabric) -> None:
    """Give a garment's openings a rim as thick as a hem, towards the body.

    Everywhere else the cloth stays the sheet that the labels' meshes are: a whole shell would move its inner side.
    The rim is seen by the picture and by the ground truth alike.
    """
    rim = thing.modifiers.new("hem", "SOLIDIFY")
    rim.use_rim, rim.use_rim_only = True, True
    rim.thickness, rim.offset = hem_thickness(fabric), -1.0


def add_keys(thing: Any, rest: Float[Array, "V 3"]) -> None:
    """Add the three shape keys and their animation to an object."""
    thing.shape_key_add(name="Basis")
    for i in range(3):
        key = thing.shape_key_add(name=f"frame{i}", from_mix=False)
        key.points.foreach_set("co", np.ascontiguousarray(rest, np.float32).ravel())
        for frame in range(3):
            key.value = float(frame == i)
            key.keyframe_insert("value", frame=frame)


def _set_labels(mesh: Any, parts: Array, garment: int) -> None:
    values = np.zeros((len(parts), 3), dtype=np.float32)
    values[:, 0], values[:, 1] = parts, garment
    mesh.attributes.new(materials.LABELS, "FLOAT_VECTOR", "FACE").data.foreach_set("vector", values.ravel())


def _set_uv(mesh: Any, uv: Float[Array, "L 2"]) -> None:
    mesh.uv_layers.new(name="uv").data.foreach_set("uv", np.ascontiguousarray(uv, np.float32).ravel())


class Eye:
    """One Blender camera that takes the place of any of the clip's cameras, moving over three frames.

    Args:
        origin: World position of Blender's origin [m].
        scenes: The scenes that look through it.
    """

    def __init__(self, origin: Float[Array, " 3"], scenes: tuple[Any, ...]) -> None:
        self.origin = origin
        lens: Any = bpy.data.cameras.new("camera")
        lens.sensor_fit, lens.sensor_width, lens.clip_end = "HORIZONTAL", SENSOR_MM, 1000.0
        self.thing: Any = bpy.data.objects.new("camera", lens)
        self.thing.rotation_mode = "QUATERNION"
        for scene in scenes:
            scene.collection.objects.link(self.thing)
            scene.camera = self.thing
        for frame in range(3):
            for path in ("location", "rotation_quaternion"):
                self.thing.keyframe_insert(path, frame=frame)
        self._curves = {(c.data_path, c.array_index): c for c in self.thing.animation_data.action.fcurves}

    def look(self, camera: Camera, t: int) -> None:
        """Take the place of a camera in frame `t` and its neighbours."""
        lens = self.thing.data
        focal, width, height = camera.K[0, 0], camera.width, camera.height
        lens.lens = focal / width * SENSOR_MM
        lens.shift_x = 0.5 - camera.K[0, 2] / width
        lens.shift_y = (camera.K[1, 2] - 0.5 * height) / width
        last = len(camera.T_camera_world) - 1
        for frame, source in enumerate((max(t - 1, 0), t, min(t + 1, last))):
            position, quaternion = blender_pose(camera.T_camera_world[source], self.origin)
            for path, values in (("location", position), ("rotation_quaternion", quaternion)):
                for axis, value in enumerate(values):
                    self._curves[path, axis].keyframe_points[frame].co = (frame, value)
        for curve in self._curves.values():
            curve.update()
        self.thing.animation_data.action.update_tag()
        self.thing.update_tag()


def blender_pose(
    T_camera_world: Float[Array, "4 4"], origin: Float[Array, " 3"]
) -> tuple[Float[Array, " 3"], Float[Array, " 4"]]:
    """Position and rotation (quaternion, w first) of a Blender object whose -Z looks along the camera's +Z, +Y up."""
    rotation = T_camera_world[:3, :3].T
    position = -rotation @ T_camera_world[:3, 3] - origin
    x, y, z, w = Rotation.from_matrix(rotation * [1.0, -1.0, -1.0]).as_quat(canonical=True)
    return position, np.array([w, x, y, z])


def add_area_light(scene: Any, spec: AreaLightSpec, index: int) -> None:
    """Add a square light that points at the person and is not itself seen."""
    light: Any = bpy.data.lights.new(f"light{index}", "AREA")
    light.shape, light.size, light.energy, light.color = "SQUARE", spec.size, spec.power, spec.colour
    thing: Any = bpy.data.objects.new(light.name, light)
    thing.rotation_mode = "QUATERNION"
    offset = np.array(spec.offset, dtype=np.float64)
    thing.location, thing.rotation_quaternion = blender_pose(look_at(offset, np.zeros(3)), np.zeros(3))
    thing.visible_camera = False
    scene.collection.objects.link(thing)


def add_environment(scene: Any, picture: Float[Array, "h w 3"], rotation: float) -> None:
    """Light the scene with a spherical picture: suns, which Cycles aims at, and a sky, which it meets by chance.

    Args:
        scene: The scene.
        picture: Equirectangular radiance, linear RGB; the caller has made sure that it is sound.
        rotation: About the vertical axis [rad].
    """
    suns, sky = split(picture)
    for index, sun in enumerate(suns):
        add_sun(scene, sun, rotation, index)
    world: Any = bpy.data.worlds.new("environment")
    world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    image, place = nodes.new("ShaderNodeTexEnvironment"), nodes.new("ShaderNodeMapping")
    image.image = materials.array_image("environment", sky)
    place.inputs["Rotation"].default_value = (0.0, 0.0, -rotation)
    links.new(nodes.new("ShaderNodeTexCoord").outputs["Generated"], place.inputs["Vector"])
    links.new(place.outputs["Vector"], image.inputs["Vector"])
    links.new(image.outputs["Color"], nodes["Background"].inputs["Color"])
    # Aiming at the sky too would cost a map that is made anew whenever something moves, and more noise.
    world.cycles.sampling_method = "NONE"
    scene.world = world


def add_sun(scene: Any, sun: Sun, rotation: float, index: int) -> None:
    """Add a sun of the spherical picture, turned with it."""
    light: Any = bpy.data.lights.new(f"sun{index}", "SUN")
    strength = float(sun.irradiance.max())
    light.angle, light.energy, light.color = 2.0 * sun.radius, strength, tuple(sun.irradiance / strength)
    thing: Any = bpy.data.objects.new(light.name, light)
    thing.rotation_mode = "QUATERNION"
    towards = Rotation.from_euler("z", rotation).apply(sun.direction)
    thing.rotation_quaternion = upwards_to(towards)
    scene.collection.objects.link(thing)


def upwards_to(direction: Float[Array, " 3"]) -> Float[Array, " 4"]:
    """The shortest turn that takes +Z to a direction [unit vector], as a quaternion, w first."""
    x, y, z = direction
    turn = np.array([1.0 + z, -y, x, 0.0])
    length = float(np.linalg.norm(turn))
    return turn / length if length > 1e-9 else np.array([0.0, 1.0, 0.0, 0.0])
