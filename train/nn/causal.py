"""The recurrent and the attending counterpart of the causal convolutions, with the same inputs and outputs."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from train.nn.positions import sinusoids

__all__ = ["CausalGRU", "CausalTransformer"]


class CausalGRU(nn.Module):
    """GRU layers over the past and a linear map of their state."""

    def __init__(self, inputs: int, outputs: int, hidden: int = 1024, layers: int = 2) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, hidden, layers, batch_first=True)
        self.shrink = nn.Linear(hidden, outputs)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T D"]:
        """Every frame from itself and what came before."""
        return self.shrink(self.gru(x)[0])


class CausalTransformer(nn.Module):
    """Self-attention to the past.

    Args:
        inputs: Channels in; projected to `width`, since HPOF's 157 numbers do not divide into 8 heads.
        outputs: Channels out.
        width: Of the tokens.
        layers: Of the encoder.
        heads: In each.
        hidden: Of the position-wise network.
    """

    def __init__(
        self, inputs: int, outputs: int, width: int = 512, layers: int = 2, heads: int = 8, hidden: int = 1024
    ) -> None:
        super().__init__()
        self.expand = nn.Linear(inputs, width)
        layer = nn.TransformerEncoderLayer(width, heads, hidden, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.shrink = nn.Linear(width, outputs)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T D"]:
        """Every frame from itself and what came before."""
        tokens = self.expand(x)
        frames = tokens.shape[1]
        future = torch.ones(frames, frames, dtype=torch.bool, device=x.device).triu(1)
        tokens = tokens + sinusoids(frames, tokens.shape[2], x.device).to(tokens.dtype)
        return self.shrink(self.encoder(tokens, mask=future))
