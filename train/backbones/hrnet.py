"""HRNet under its published parameter names, without the classifier.

Source: Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition" (2020), figure 2 and table 1:
branches at strides 4, 8, 16 and 32 that exchange maps after every module.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from train.backbones.resnet import Bottleneck

__all__ = ["HRNet", "hrnet_w48"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C h w"]:
        """One block."""
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))) + x)


class Exchange(nn.Module):
    """Four blocks on every branch, then each branch adds what all of them hold, brought to its size."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(width) for _ in range(4))) for width in widths)
        count = range(len(widths))
        self.fuse_layers = nn.ModuleList(nn.ModuleList(_bring(widths, j, i) for j in count) for i in count)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """One module."""
        maps = [branch(m) for branch, m in zip(self.branches, maps, strict=True)]
        fused = []
        for i, layers in enumerate(self.fuse_layers):
            assert isinstance(layers, nn.ModuleList)
            brought = [layer(m) for layer, m in zip(layers, maps, strict=True)]
            # Sides that do not divide by 32 come back a pixel larger.
            fused.append(torch.relu(torch.stack([_fitted(m, maps[i]) for m in brought]).sum(0)))
        return fused


class HRNet(nn.Module):
    """Stem, a stage of bottlenecks, and three stages of exchanging branches.

    Args:
        width: Channels of the branch at stride 4; each further one has twice as many.
        modules: Exchanges in stages 2, 3 and 4.
    """

    def __init__(self, width: int, modules: tuple[int, int, int] = (1, 4, 3)) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(4)]
        self.features = widths[-1]
        """Channels of the branch at stride 32."""
        self.local_features = sum(widths)
        """Channels of all branches together at stride 4."""
        self.conv1 = nn.Conv2d(3, 64, 3, 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, 2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Bottleneck(64, 64), *(Bottleneck(256, 64) for _ in range(3)))
        first = nn.Sequential(nn.Conv2d(256, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.transition1 = nn.ModuleList([first, nn.Sequential(_halved(256, widths[1], True))])
        self.transition2 = nn.ModuleList([nn.Identity(), nn.Identity(), _begun(widths, 2)])
        self.transition3 = nn.ModuleList([nn.Identity(), nn.Identity(), nn.Identity(), _begun(widths, 3)])
        for stage, count in enumerate(modules, start=2):
            self.add_module(f"stage{stage}", nn.Sequential(*(Exchange(widths[:stage]) for _ in range(count))))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def branches(self, images: Float[Tensor, "N 3 S S"]) -> list[Tensor]:
        """Maps at strides 4, 8, 16 and 32."""
        x = torch.relu(self.bn1(self.conv1(images)))
        x = self.layer1(torch.relu(self.bn2(self.conv2(x))))
        maps = [layer(x) for layer in self.transition1]
        for stage in (2, 3, 4):
            if stage > 2:
                maps.append(getattr(self, f"transition{stage - 1}")[-1](maps[-1]))
            maps = getattr(self, f"stage{stage}")(maps)
        return maps

    def pyramid(self, images: Float[Tensor, "N 3 S S"]) -> tuple[Float[Tensor, "N D i j"], Float[Tensor, "N C h w"]]:
        """All branches together at stride 4, and the branch at stride 32."""
        maps = self.branches(images)
        size = maps[0].shape[-2:]
        larger = [functional.interpolate(m, size=size, mode="bilinear", align_corners=False) for m in maps[1:]]
        return torch.cat([maps[0], *larger], dim=1), maps[-1]

    def forward(self, images: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N C h w"]:
        """The map at stride 32; its mean over h, w is the global feature."""
        return self.branches(images)[-1]


def hrnet_w48() -> HRNet:
    """HRNet-W48: 384 features; TAR's larger encoder."""
    return HRNet(48)


def _halved(inputs: int, outputs: int, active: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, 2, padding=1, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU()] if active else []))


def _begun(widths: list[int], branch: int) -> nn.Sequential:
    """A new branch out of the one before it."""
    return nn.Sequential(_halved(widths[branch - 1], widths[branch], True))


def _bring(widths: list[int], source: int, target: int) -> nn.Module:
    """A branch's map in the size and width of another branch."""
    if source == target:
        return nn.Identity()
    if source > target:
        narrow = nn.Conv2d(widths[source], widths[target], 1, bias=False)
        return nn.Sequential(narrow, nn.BatchNorm2d(widths[target]), nn.Upsample(scale_factor=2 ** (source - target)))
    steps = [_halved(widths[source], widths[source], True) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, _halved(widths[source], widths[target], False))


def _fitted(m: Tensor, like: Tensor) -> Tensor:
    return m if m.shape[-2:] == like.shape[-2:] else m[..., : like.shape[-2], : like.shape[-1]]
