"""A progress line for long work: how far, how fast, how long still."""

import shutil
import time
from typing import TextIO

from synth.events import Event
from synth.spec import ClipSpec


class Progress:
    """Draws one line, again and again on a terminal, every ten seconds elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._start = time.monotonic()
        self._drawn = 0.0
        self._images: dict[str, int] = {}
        self._stages: dict[str, Event] = {}
        self.total_images = 0
        self.total_clips = 0
        self.kept = 0
        self.ended = 0
        self._device = ""

    def plan(self, clips: int, images: int, kept: int) -> None:
        """Say how much there is to make, and how many clips were there already."""
        self.total_clips, self.total_images, self.kept = clips, images, kept
        self._start = time.monotonic()

    def watch(self, spec: ClipSpec, event: Event) -> None:
        """Take in an event of a job."""
        if event.kind == "device":
            return self._say_device(event.text)
        self._stages[spec.clip_id] = event
        if event.kind == "progress" and event.stage == "render":
            self._images[spec.clip_id] = event.done
        self._draw()

    def end(self, spec: ClipSpec, line: str) -> None:
        """A job has ended; say how."""
        self.ended += 1
        self._stages.pop(spec.clip_id, None)
        self._clear()
        print(line, file=self._stream, flush=True)
        self._draw(force=True)

    def _say_device(self, device: str) -> None:
        """Say once what is rendered on; "auto" leaves it open until then."""
        if device != self._device:
            self._device = device
            self._clear()
            print(f"Rendering on {device}", file=self._stream, flush=True)

    def line(self) -> str:
        """The line as it stands."""
        images, seconds = sum(self._images.values()), time.monotonic() - self._start
        rate = images / seconds if seconds > 0 else 0.0
        left = self._left(images, seconds)
        now = ", ".join(f"{e.stage} {e.done}/{e.of}" for e in self._stages.values() if e.kind == "progress")
        return (
            f"{self.kept + self.ended}/{self.total_clips} clips  {images}/{self.total_images} images  "
            f"{rate:.1f} images/s  {left} left  [{now}]"
        )

    def _left(self, images: int, seconds: float) -> str:
        """Time left at the rate so far."""
        if not images or images > self.total_images:
            return "-:--"
        rest = int(seconds / images * (self.total_images - images))
        return (
            f"{rest // 3600}:{rest % 3600 // 60:02d}:{rest % 60:02d}"
            if rest >= 3600
            else f"{rest // 60}:{rest % 60:02d}"
        )

    def _draw(self, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self._drawn < (0.2 if self._terminal else 10.0):
            return
        self._drawn = now
        if self._terminal:
            width = shutil.get_terminal_size().columns
            self._stream.write("\r\x1b[K" + self.line()[: width - 1])
            self._stream.flush()
        elif not force:
            print(self.line(), file=self._stream, flush=True)

    def _clear(self) -> None:
        if self._terminal:
            self._stream.write("\r\x1b[K")

    def close(self) -> None:
        """Leave the terminal's line clean."""
        self._clear()
        self._stream.flush()
