"""ResNet under torchvision's parameter names, without the classifier.

Source: He et al., "Deep Residual Learning for Image Recognition" (2016), table 1; stride in the 3x3 convolution as
torchvision's and SPIN's published weights have it. torchvision itself is not needed.
"""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ResNet", "resnet18", "resnet18_half", "resnet50", "resnet_tiny"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion: ClassVar[int] = 1

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Float[Tensor, "N C h w"]) -> Float[Tensor, "N D i j"]:
        """One block."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut."""

    expansion: ClassVar[int] = 4

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, 4 * width, stride)

    def forward(self, x: Float[Tensor, "N C h w"]) -> Float[Tensor, "N D i j"]:
        """One block."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """What brings a block's input to the form of its output; None where it has it."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """Stem and four stages at strides 4, 8, 16 and 32.

    Args:
        blocks: Blocks in each stage.
        width: Channels inside the first stage's blocks; doubles from stage to stage.
        block: What they are.
    """

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        width: int = 64,
        block: type[BasicBlock] | type[Bottleneck] = Bottleneck,
    ) -> None:
        super().__init__()
        self.features = 8 * width * block.expansion
        """Channels of the last stage."""
        self.local_features = width * block.expansion
        """Channels of the first stage's map, at stride 4."""
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        inputs = width
        for stage, count in enumerate(blocks):
            inside = width * 2**stage
            outputs = inside * block.expansion
            layers = [block(inputs if i == 0 else outputs, inside, 2 if i == 0 < stage else 1) for i in range(count)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
            inputs = outputs
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stage(self, images: Float[Tensor, "N 3 S S"], last: int = 4) -> Float[Tensor, "N C h w"]:
        """Map after stage `last` (1-4): stride 4, 8, 16 or 32."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for number in range(1, last + 1):
            x = getattr(self, f"layer{number}")(x)
        return x

    def pyramid(self, images: Float[Tensor, "N 3 S S"]) -> tuple[Float[Tensor, "N D i j"], Float[Tensor, "N C h w"]]:
        """The first stage's map, at stride 4, and the last one."""
        local = x = self.stage(images, 1)
        for number in range(2, 5):
            x = getattr(self, f"layer{number}")(x)
        return local, x

    def forward(self, images: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N C h w"]:
        """The last map; its mean over h, w is the global feature.

        Args:
            images: RGB, ImageNet mean and deviation taken out.
        """
        return self.stage(images)


def resnet50() -> ResNet:
    """ResNet-50: 23,508,032 parameters, 2048 features."""
    return ResNet((3, 4, 6, 3))


def resnet18() -> ResNet:
    """ResNet-18: 11,176,512 parameters, 512 features."""
    return ResNet((2, 2, 2, 2), block=BasicBlock)


def resnet18_half() -> ResNet:
    """ResNet-18 with half the channels: 2,798,880 parameters, 256 features; three times as fast on a CPU."""
    return ResNet((2, 2, 2, 2), width=32, block=BasicBlock)


def resnet_tiny() -> ResNet:
    """One narrow block a stage, 64 features: for tests and for trying things out."""
    return ResNet((1, 1, 1, 1), width=2)
