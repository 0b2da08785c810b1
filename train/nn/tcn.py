"""Causal dilated temporal convolutions, whole sequences at once or frame by frame with cached layers."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CausalDense", "CausalStream", "CausalTCN", "product"]

_KERNEL = 3


class CausalTCN(nn.Module):
    """An expanding convolution, blocks of dilation 3^i with residuals, and a shrinking 1x1 convolution.

    Source: Pavllo et al., "3D Human Pose Estimation in Video with Temporal Convolutions and Semi-Supervised Training"
    (2019), the causal form. What would lie before the first frame is taken to be that frame for ever, so the result
    has as many frames as the input. Each layer then continues its own first value to the left: the same result as
    continuing the input by the receptive field, at none of its cost.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        channels: Inside.
        blocks: Residual blocks; the receptive field is 3^(blocks + 1) frames.
        dropout: After each activation.

    Raises:
        ValueError: fewer than one block.
    """

    def __init__(self, inputs: int, outputs: int, channels: int = 1024, blocks: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        if blocks < 1:
            raise ValueError(f"blocks: expected at least 1, got {blocks}")
        self.dilations = [_KERNEL**i for i in range(1, blocks + 1)]
        self.expand = _convolution(inputs, channels, _KERNEL, 1)
        self.wide = nn.ModuleList(_convolution(channels, channels, _KERNEL, d) for d in self.dilations)
        self.point = nn.ModuleList(_convolution(channels, channels, 1, 1) for _ in self.dilations)
        self.shrink = nn.Conv1d(channels, outputs, 1)
        self.dropout = nn.Dropout(dropout)

    @property
    def receptive_field(self) -> int:
        """Frames, the present one included, that an output depends on."""
        return 1 + (_KERNEL - 1) * (1 + sum(self.dilations))

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T D"]:
        """Every frame from itself and what came before."""
        x = self._layer(self.expand, x)
        for wide, point in zip(self.wide, self.point, strict=True):
            x = x + self._layer(point, self._layer(wide, x))
        return _convolved(self.shrink, x)

    def _layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        convolution, norm = _parts(layer)
        normed = norm(_convolved(convolution, x).flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.dropout(torch.relu(normed))

    def stream(self) -> "CausalStream":
        """Frame-by-frame evaluation, from the first frame on.

        Raises:
            ValueError: the network is in training mode, in which frames depend on each other through batch statistics.
        """
        return CausalStream([1, *self.dilations], *self._constants("stream"))

    def dense(self) -> "CausalDense":
        """Evaluation of whole sequences with the weights as they are now, laid out for speed.

        Raises:
            ValueError: the network is in training mode.
        """
        return CausalDense([1, *self.dilations], *self._constants("dense"))

    def _constants(self, what: str) -> tuple[list[tuple[Tensor, Tensor]], tuple[Tensor, Tensor]]:
        if self.training:
            raise ValueError(f"{what}: expected a network in evaluation mode")
        layers = [_folded(self.expand), *(_folded(m) for pair in zip(self.wide, self.point, strict=True) for m in pair)]
        return layers, _plain(self.shrink)


class CausalDense:
    """The network on whole sequences, for inference only; made by `CausalTCN.dense`.

    Batch normalisation is folded into the weights, and on CPUs the weights are brought into the order that oneDNN's
    matrix product wants once, not for every call, with the activation as part of it. At 16 frames of one clip, where
    reading 53 MB of weights is what costs, that is a third less time than the network itself takes.

    Args:
        dilations: Of the layers with taps in the past, the expanding one first.
        layers: (weight (3 C or C, D), bias (D,)) of expanding, then of each block's two layers.
        shrink: The same of the last one.
    """

    def __init__(
        self, dilations: Sequence[int], layers: list[tuple[Tensor, Tensor]], shrink: tuple[Tensor, Tensor]
    ) -> None:
        self.dilations = list(dilations)
        self.layers = [product(weight, bias, active=True) for weight, bias in layers]
        self.shrink = product(*shrink, active=False)

    @torch.no_grad()
    def __call__(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T D"]:
        """What `CausalTCN` gives, to rounding."""
        x = self.layers[0](_taps(x, self.dilations[0]))
        for block in range(1, len(self.dilations)):
            inner = self.layers[2 * block - 1](_taps(x, self.dilations[block]))
            x = x + self.layers[2 * block](inner)
        return self.shrink(x)


class CausalStream:
    """The network's memory while frames come one by one; made by `CausalTCN.stream`.

    Every layer keeps the inputs it will need again, so a frame costs one frame's arithmetic whatever the receptive
    field. Batch normalisation is folded into the weights.

    Args:
        dilations: Of the layers with a memory, the expanding one first.
        layers: (weight (3 C or C, D), bias (D,)) of expanding, then of each block's two layers.
        shrink: The same of the last one.
    """

    def __init__(
        self, dilations: Sequence[int], layers: list[tuple[Tensor, Tensor]], shrink: tuple[Tensor, Tensor]
    ) -> None:
        self.dilations, self.layers, self.shrink = list(dilations), layers, shrink
        self.past: list[Tensor | None] = [None] * len(self.dilations)
        """Inputs of each layer with a memory, a ring (2 dilation + 1, B, C)."""
        self.time = 0

    @torch.no_grad()
    def push(self, x: Float[Tensor, "B C"]) -> Float[Tensor, "B D"]:
        """The output of the next frame."""
        x = self._step(0, x, *self.layers[0])
        for block in range(1, len(self.dilations)):
            inner = self._step(block, x, *self.layers[2 * block - 1])
            weight, bias = self.layers[2 * block]
            x = x + torch.relu_(torch.addmm(bias, inner, weight))
        self.time += 1
        weight, bias = self.shrink
        return torch.addmm(bias, x, weight)

    def _step(self, layer: int, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        dilation, ring = self.dilations[layer], self.past[layer]
        size = (_KERNEL - 1) * dilation + 1
        if ring is None:
            ring = self.past[layer] = x.expand(size, *x.shape).clone()
        ring[self.time % size] = x
        taps = [ring[(self.time - k * dilation) % size] for k in range(_KERNEL - 1, -1, -1)]
        return torch.relu_(torch.addmm(bias, torch.cat(taps, dim=1), weight))


def _convolution(inputs: int, outputs: int, kernel: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, dilation=dilation, bias=False), nn.BatchNorm1d(outputs, momentum=0.1)
    )


def _convolved(layer: nn.Conv1d, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T D"]:
    """The convolution over time, the first frame being continued to the left.

    As one matrix product with the weights as they lie in memory. For clips of tens of frames, `Conv1d` is several
    times slower on CPUs: it brings 3 million weights into another order for every call.
    """
    (taps,), (dilation,) = layer.kernel_size, layer.dilation
    now = torch.arange(x.shape[1], device=x.device)
    past = [x[:, (now - k * dilation).clamp_min(0)] for k in range(taps - 1, 0, -1)]
    seen = torch.stack([*past, x], dim=-1).flatten(2) if past else x
    return functional.linear(seen, layer.weight.flatten(1), layer.bias)


def _taps(x: Float[Tensor, "B T C"], dilation: int) -> Float[Tensor, "B T D"]:
    """Each frame with those that its taps see before it, the earliest first; the first frame is continued."""
    now = torch.arange(x.shape[1], device=x.device)
    seen = torch.stack([(now - k * dilation).clamp_min(0) for k in range(_KERNEL - 1, -1, -1)], dim=1)
    return x[:, seen].flatten(2)


def product(weight: Tensor, bias: Tensor, active: bool) -> Callable[[Tensor], Tensor]:
    """The function from x to x weight + bias, rectified if `active`, with the weights packed where oneDNN can."""
    rows, bias = weight.detach().t().contiguous(), bias.detach()
    if rows.device.type == "cpu" and rows.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        packed = torch.ops.mkldnn._reorder_linear_weight(rows, None)
        pointwise, kind = torch.ops.mkldnn._linear_pointwise, "relu" if active else "none"
        return lambda x: pointwise(x, packed, bias, kind, [], "")
    if active:
        return lambda x: torch.relu_(functional.linear(x, rows, bias))
    return lambda x: functional.linear(x, rows, bias)


def _parts(layer: nn.Module) -> tuple[nn.Conv1d, nn.BatchNorm1d]:
    assert isinstance(layer, nn.Sequential)
    convolution, norm = layer[0], layer[1]
    assert isinstance(convolution, nn.Conv1d)
    assert isinstance(norm, nn.BatchNorm1d)
    return convolution, norm


def _plain(layer: nn.Conv1d) -> tuple[Tensor, Tensor]:
    """Weight as a matrix (kernel x inputs, outputs) and bias."""
    weight, bias = layer.weight.detach(), layer.bias
    matrix = weight.permute(2, 1, 0).reshape(-1, len(weight)).contiguous()
    return matrix, weight.new_zeros(len(weight)) if bias is None else bias.detach()


def _folded(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """The same for a convolution with its batch normalisation behind it."""
    convolution, norm = _parts(layer)
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
    matrix, bias = _plain(convolution)
    return matrix * scale, (bias - norm.running_mean) * scale + norm.bias.detach()
