"""Several processes that train one model together, started by torchrun; or a single one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

__all__ = ["Processes"]

PATIENCE = timedelta(hours=12)
"""So long processes wait for one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """This process among those of a run."""

    rank: int = 0
    count: int = 1
    local: int = 0
    """Number on this machine, which is that of its device."""

    @staticmethod
    def join(device: str) -> "Processes":
        """Join the group that torchrun set up; without torchrun, be alone.

        Args:
            device: "cuda" (NCCL) or "cpu" (gloo).
        """
        if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) < 2:
            return Processes()
        local, cuda = int(os.environ.get("LOCAL_RANK", "0")), device.startswith("cuda")
        if cuda:
            torch.cuda.set_device(local)  # else all processes' barriers meet on the first card, and hang
        if not distributed.is_initialized():
            # the others wait while the first process extracts features
            distributed.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
        return Processes(rank=distributed.get_rank(), count=distributed.get_world_size(), local=local)

    @property
    def first(self) -> bool:
        """Whether this one writes the files."""
        return self.rank == 0

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Replace each gradient by its mean over the processes.

        One message for all, after the backward pass. DistributedDataParallel would send while still computing, but
        takes one forward and one backward a step, and a model with a discriminator has two of each.
        """
        if self.count == 1:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.count
        for parameter, part in zip(parameters, flat.split([g.numel() for g in gradients]), strict=True):
            parameter.grad = part.view_as(parameter).clone()

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Give every process the first one's values."""
        if self.count > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            distributed.barrier()

    def leave(self) -> None:
        """Take the group down."""
        if self.count > 1 and distributed.is_initialized():
            distributed.destroy_process_group()
