"""The pulse of a worker: what its forward passes leave, who is hung, who is slow."""

from __future__ import annotations

import time

import pytest
import torch

from medray.train import pulse
from medray.train.pulse import Pulse, hung_ranks, stragglers


class Backbone(torch.nn.Module):
    def forward(self, input_ids):
        assert pulse.read().is_in_forward
        time.sleep(0.02)
        return input_ids


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.base_model = Backbone()


def test_forward_passes_and_steps_beat(monkeypatch):
    monkeypatch.setattr(pulse, "_now", Pulse())
    monkeypatch.setattr(pulse, "_reason", None)
    model = Model()
    pulse.watch(model)
    for _ in range(3):
        model.base_model(input_ids=torch.zeros(1, 7))
    assert pulse.stop_reason() is None
    pulse.ask_to_stop("drain")
    pulse.ask_to_stop("grow")
    assert pulse.stop_reason() == "drain"
    found = pulse.read()
    assert (found.num_steps, found.num_forwards, found.num_tokens, found.is_in_forward) == (2, 3, 21, False)
    assert 0.06 <= found.forward_s < 0.6


def test_a_forward_pass_that_failed_is_not_timed(monkeypatch):
    """As when the search for a micro-batch meets the end of the memory."""
    monkeypatch.setattr(pulse, "_now", Pulse())
    model = Model()
    pulse.watch(model)
    with pytest.raises(TypeError):
        model.base_model(input_ids=torch.zeros(1, 7), no_such_argument=1)
    model.base_model(input_ids=torch.zeros(1, 5))
    assert pulse.read().num_tokens == 5


@pytest.mark.parametrize(
    ("pulses", "silent", "expected"),
    [
        ({0: Pulse(4, 9), 1: Pulse(4, 9)}, [1], [1]),
        ({0: Pulse(4, 9), 1: Pulse(4, 9, is_in_forward=True)}, [], [1]),
        ({0: Pulse(4, 9), 1: Pulse(4, 8), 2: Pulse(4, 9)}, [], [1]),
        ({0: Pulse(4, 9, is_in_forward=True), 1: Pulse(4, 8, is_in_forward=True)}, [], [1]),
        ({0: Pulse(4, 9), 1: Pulse(4, 9)}, [], [0, 1]),
    ],
    ids=["no answer", "in its own work", "behind", "all in their own work", "a collective that nobody leaves"],
)
def test_who_keeps_a_hung_group(pulses, silent, expected):
    assert hung_ranks(pulses, silent) == expected


def test_stragglers_are_told_by_their_own_work():
    before = {rank: Pulse(num_tokens=100, forward_s=1.0) for rank in range(3)}
    done = {0: (300, 2.0), 1: (200, 1.5), 2: (300, 3.5)}
    after = {rank: Pulse(num_tokens=tokens, forward_s=seconds) for rank, (tokens, seconds) in done.items()}
    assert stragglers(before, after) == {2: 2.5}
    assert stragglers(before, {0: after[0]}) == {}, "one rank is nobody's straggler"
    assert stragglers(before, before) == {}, "no work, no pace"
