"""TCMR: the centre frame from the whole window, from its past alone and from its future alone.

Source: Choi et al., "Beyond Static Features for Temporally Consistent 3D Human Pose and Shape from a Video" (2021),
section 3: no residual connection to the static feature, three encodings integrated by attention; each is supervised.
81,907,360 parameters, 78,437,891 of them in the encoder.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from train.batch import Batch, Output, Prediction, State, TemporalModel, last
from train.losses import Weights, mesh_losses, summed
from train.nn.regressor import Regressor, read_theta

__all__ = ["TCMR"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TCMRConfig:
    """Options of TCMR."""

    features: int = 2048
    gru_hidden: int = 1024
    gru_layers: int = 2
    attention: int = 256
    hidden: int = 1024
    iterations: int = 3
    dropout: float = 0.5
    window: int = 16
    weights: Weights = field(default_factory=Weights)


class Integration(nn.Module):
    """Weights of the three encodings from the encodings themselves (section 3.3)."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(features, width)
        self.weigh = nn.Sequential(
            nn.Linear(3 * width, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 3), nn.Tanh()
        )

    def forward(self, encodings: Float[Tensor, "B 3 F"]) -> Float[Tensor, "B F"]:
        """Weighted sum."""
        weights = torch.softmax(self.weigh(torch.relu(self.reduce(encodings)).flatten(1)), dim=1)
        return (weights[..., None] * encodings).sum(1)


class TCMR(TemporalModel):
    """Three GRUs around frame T // 2."""

    name = "tcmr"
    Config = TCMRConfig
    centre_only = True

    def __init__(self, config: TCMRConfig) -> None:
        super().__init__()
        if config.window < 3:
            raise ValueError(f"window: expected at least 3 frames, got {config.window}")
        self.config, self.window = config, config.window
        width, hidden, layers = config.features, config.gru_hidden, config.gru_layers
        self.whole = nn.GRU(width, hidden, layers, batch_first=True, bidirectional=True)
        self.past = nn.GRU(width, hidden, layers, batch_first=True)
        self.future = nn.GRU(width, hidden, layers, batch_first=True)
        self.of_whole = nn.Linear(2 * hidden, width)
        self.of_past = nn.Linear(hidden, width)
        self.of_future = nn.Linear(hidden, width)
        self.integration = Integration(width, config.attention)
        self.regressor = Regressor(width, config.hidden, config.dropout, config.iterations)

    def forward(self, batch: Batch) -> list[Prediction]:
        """Predictions of frame T // 2 from the past, from the future and from all; the last one counts."""
        if batch.features is None:
            raise ValueError("batch: has no features")
        features, centre = batch.features, batch.length // 2
        if not 0 < centre < batch.length - 1:
            raise ValueError(f"batch: TCMR needs at least 3 frames, got {batch.length}")
        whole = self.of_whole(torch.relu(self.whole(features)[0][:, centre]))
        past = self.of_past(torch.relu(self.past(features[:, :centre])[0][:, -1]))
        future = self.of_future(torch.relu(self.future(features[:, centre + 1 :].flip(1))[0][:, -1]))
        integrated = self.integration(torch.stack([whole, past, future], dim=1))
        chosen = (past, future, integrated) if self.training else (integrated,)
        return [read_theta(self.regressor(feature)[:, None]) for feature in chosen]

    def loss(self, output: Output, batch: Batch, state: State) -> dict[str, Tensor]:
        """The mean of the three predictions' losses against the centre frame's labels."""
        outputs = output if isinstance(output, list) else [last(output)]
        centre = batch if batch.length == 1 else batch.frames(slice(batch.length // 2, batch.length // 2 + 1))
        each = [mesh_losses(state.body.complete(one, centre), centre, self.config.weights) for one in outputs]
        return summed({name: torch.stack([terms[name] for terms in each]).mean() for name in each[0]})
