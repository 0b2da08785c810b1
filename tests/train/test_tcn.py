"""Causal convolutions: how far back they look, and that streaming gives what the whole sequence gives."""

import pytest
import torch

from train.batch import count
from train.nn.causal import CausalGRU, CausalTransformer
from train.nn.tcn import CausalTCN


def settled(blocks: int, channels: int = 12) -> CausalTCN:
    """A network whose batch normalisation has seen something."""
    torch.manual_seed(blocks)
    network = CausalTCN(7, 5, channels, blocks)
    for _ in range(5):
        network(torch.randn(4, 40, 7) * 2 + 1)
    return network.eval()


@pytest.mark.parametrize(("blocks", "wanted"), [(1, 9), (2, 27), (3, 81)])
def test_an_output_depends_on_exactly_the_receptive_field(blocks: int, wanted: int) -> None:
    # catches: a wrong dilation, a look into the future, a residual taken from another frame
    network = settled(blocks).double()
    x = torch.randn(1, 100, 7, dtype=torch.float64, requires_grad=True)
    at = 90
    network(x)[0, at].sum().backward()
    assert x.grad is not None
    used = x.grad[0].abs().sum(1).nonzero()[:, 0]
    assert network.receptive_field == wanted
    assert (used[0], used[-1], len(used)) == (at - wanted + 1, at, wanted)


@pytest.mark.parametrize(("blocks", "wanted"), [(1, 4_843_677), (2, 9_042_077), (3, 13_240_477)])
def test_parameters_are_the_published_number(blocks: int, wanted: int) -> None:
    with torch.device("meta"):
        assert count(CausalTCN(157, 157, 1024, blocks).parameters()) == wanted


def test_layers_continue_their_first_value_as_if_the_first_frame_had_always_been() -> None:
    network = settled(3)
    x = torch.randn(2, 13, 7)
    before = x[:, :1].expand(-1, network.receptive_field, -1)
    assert torch.allclose(network(x), network(torch.cat([before, x], 1))[:, -13:], atol=1e-5)


@pytest.mark.parametrize("blocks", [1, 3])
def test_the_stream_gives_what_the_whole_sequence_gives(blocks: int) -> None:
    # catches: a ring that overwrites too early, taps in the wrong order, batch normalisation folded wrongly
    network = settled(blocks)
    x = torch.randn(2, 90, 7)
    stream = network.stream()
    pushed = torch.stack([stream.push(frame) for frame in x.unbind(1)], dim=1)
    assert torch.allclose(pushed, network(x), atol=1e-5)


@pytest.mark.parametrize("frames", [1, 16, 90])
def test_the_fast_form_gives_what_the_network_gives(frames: int) -> None:
    # catches: packed weights that fit one length only, a missing activation, taps in the wrong order
    network = settled(2)
    fast = network.dense()
    x = torch.randn(3, frames, 7)
    assert torch.allclose(fast(x), network(x), atol=1e-5)
    assert not fast(x).requires_grad


def test_without_onednn_the_fast_form_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = settled(1), torch.randn(1, 9, 7)
    packed = network.dense()(x)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert torch.allclose(network.dense()(x), packed, atol=1e-5)


def test_a_network_in_training_has_no_stream() -> None:
    for form in (CausalTCN.stream, CausalTCN.dense):
        with pytest.raises(ValueError, match="evaluation"):
            form(CausalTCN(7, 5, 8, 1))


@pytest.mark.parametrize("kind", ["gru", "transformer"])
def test_the_other_temporal_modules_do_not_look_ahead_either(kind: str) -> None:
    torch.manual_seed(0)
    network = CausalGRU(7, 5, 8) if kind == "gru" else CausalTransformer(7, 5, 16, heads=2, hidden=8)
    x = torch.randn(1, 12, 7)
    changed = x.clone()
    changed[:, 8:] += 1
    difference = (network.eval()(x) - network(changed)).abs().sum(2)[0]
    assert difference[:8].max() < 1e-6
    assert difference[8:].min() > 1e-4
