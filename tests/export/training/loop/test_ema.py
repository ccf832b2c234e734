import torch
from torch import nn

from export.training.loop import MovingAverage


def test_the_average_follows_parameters_and_statistics_with_a_warm_up():
    module = nn.BatchNorm2d(1)
    average = MovingAverage(module, 0.998)
    with torch.no_grad():
        module.weight.fill_(11.0)
        module.running_mean.fill_(1.0)
        module.num_batches_tracked.fill_(7)
    average.update(module)  # keeps 1/10 at first
    assert torch.allclose(average.module.weight, torch.tensor([1 * 0.1 + 11 * 0.9]))
    assert torch.allclose(average.module.running_mean, torch.tensor([0.9]))
    assert average.module.num_batches_tracked == 7
    average.updates = 10**6
    average.update(module)
    assert torch.allclose(average.module.running_mean, torch.tensor([0.998 * 0.9 + 0.002]))


def test_the_average_does_not_train():
    average = MovingAverage(nn.BatchNorm2d(2))
    assert not average.module.training
    assert not any(parameter.requires_grad for parameter in average.module.parameters())
