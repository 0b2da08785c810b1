"""Readers of real data sets, each on the files as distributed.

    source = open_source("3dpw", "3DPW/", split="train")   # opens an index, reads no labels yet
    for entry in source.entries: entry.name, entry.frames, entry.fps
    record = source[0]                                      # one person's consecutive frames (`Record`)
    read_picture(record.images[0])                          # (H, W, 3) uint8; from train.real.pictures
    labels(record, start=8, length=16, joints="smpl24")     # filled arrays and masks, ready to stack

The contract, for whoever mixes sources:

- A `Record` holds NaN where a label does not exist; `labels` holds 0 there and a mask that is off. Masks are per joint
  for keypoints and 3D joints, per frame for boxes, pose, betas, translation and intrinsics.
- Keypoints and 3D joints come in the data set's own joint set; `labels(joints=...)` carries them to any set of
  `train.joints` by name. In "smpl24" most sources know limbs only: use the mask of each joint, not of the frame.
- `Record.still`: a single picture (T = 1); `labels` repeats it `length` times at start 0. A video shorter than the
  window is skipped by the caller (`entries[i].frames`).
- `joints_absolute` False: 3D joints are known up to a translation; compare them after aligning a root.
- `smpl_frame` "world" (AMASS): no pictures and no camera; for discriminators and priors (`train.real.motions`).
"""

from train.real.record import OCCLUDED, ImageRef, Record, labels
from train.real.source import SOURCES, Entry, Source, open_source, source_class

__all__ = ["OCCLUDED", "SOURCES", "Entry", "ImageRef", "Record", "Source", "labels", "open_source", "source_class"]
