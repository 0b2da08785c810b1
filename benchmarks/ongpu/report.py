"""Tables and headline figures out of what was measured."""

from collections.abc import Mapping
from typing import Any

Values = Mapping[str, Mapping[str, Any]]

MILLIONS = 3_000_000

COLUMNS: dict[str, tuple[str, ...]] = {
    "compile": ("process_start_s", "build_s", "first_s", "second_s", "third_s", "cache_bytes_before"),
    "render": ("images_per_s", "median_ms", "p10_ms", "p90_ms", "images"),
    "processes": ("images_per_s", "card_mib_each", "host_mb_each", "cpu_cores_used", "utilisation"),
    "cloth": ("images_per_s", "cloth_frames_per_s", "dressing_s", "clips_simulated", "utilisation"),
    "pipeline": ("clips", "seconds", "clips_per_hour", "images_per_s", "hours_of_3_million_frames", "whole"),
    "train": (
        *("batch", "frames", "step_ms", "windows_per_s", "frames_per_s"),
        *("tflops", "share_of_bf16_peak", "memory_gib"),
    ),
    "loader": ("step_ms", "resident_step_ms", "busy", "frames_per_s"),
    "raster": ("hard_ms", "forward_ms", "backward_ms"),
    "fit": ("ms_per_frame", "joints_off_mm", "markers_off_mm", "trials", "frames", "memory_gib"),
    "labels": ("labels_identical", "psnr_person_db", "psnr_whole_db"),
}


def markdown(values: Values) -> str:
    """A table for each stage; what failed is named below it."""
    parts = []
    for stage in dict.fromkeys(key.partition("/")[0] for key in values):
        own = {key.partition("/")[2] or key: value for key, value in values.items() if key.partition("/")[0] == stage}
        good = {key: value for key, value in own.items() if "error" not in value}
        lines = [f"### {stage}", ""]
        if stage in COLUMNS and good:
            columns = COLUMNS[stage]
            lines += [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
            lines += [f"| {key} | {' | '.join(_cell(value.get(c)) for c in columns)} |" for key, value in good.items()]
        else:
            lines += [f"- {key}: {_listed(value)}" for key, value in good.items()]
        lines += [f"- **failed**: {key}: {value['error']}" for key, value in own.items() if "error" in value]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cell(value: Any) -> str:
    return "-" if value is None else str(value)


def _listed(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {inner}" for name, inner in value.items() if name != "took_s")


def headline(values: Values) -> dict[str, Any]:
    """The figures that the targets speak of; None: not measured."""

    def best(prefix: str, name: str, but: str = "\n") -> tuple[float | None, str | None]:
        found = [(v[name], key) for key, v in values.items() if key.startswith(prefix) and but not in key and name in v]
        return max(found, default=(None, None))

    gpu = [key for key in values if key.startswith("processes/") and "no denoiser" not in key]
    gpu = [key for key in gpu if not key.startswith("processes/cpu")]
    rates = [(values[key]["images_per_s"], key) for key in gpu if "images_per_s" in values[key]]
    rate, how = max(rates, default=(None, None))
    on_cpu, _ = best("processes/cpu", "images_per_s")
    pipeline, _ = best("pipeline/", "images_per_s", but="pipeline/cpu")
    compared = [key for key in values if key.startswith("labels/") and key != "labels/cpu"]
    labels = [values[key].get("labels_identical") for key in compared]
    busy, _ = best("loader/", "busy")
    larger = [
        round(values[wide]["images_per_s"] / value["images_per_s"] * (512 / 250) ** 2, 2)
        for key, value in values.items()
        if key.startswith("render/") and not key.startswith("render/cpu/") and key.endswith("/250/16/gpu")
        if "images_per_s" in value and "images_per_s" in values.get(wide := key.replace("/250/", "/512/"), {})
    ]
    return {
        "images_per_s": rate,
        "images_per_s_with": how,
        "images_per_s_all_cpu_cores": on_cpu,
        "speedup_over_cpu_cores": None if rate is None or not on_cpu else round(rate / on_cpu, 2),
        "pixels_per_s_512_over_250": max(larger, default=None),
        "pipeline_images_per_s": pipeline,
        "gpu_hours_of_3_million_frames": None if not pipeline else round(MILLIONS / pipeline / 3600, 1),
        "labels_identical_on_gpu": None if not labels else all(labels),
        "best_share_of_bf16_peak": best("train/", "share_of_bf16_peak")[0],
        "best_loader_busy": busy,
    }
