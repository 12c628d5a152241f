import torch
from torch import nn

from xpose_stream.training.learning.average import Average


def test_the_average_trails_weights_and_buffers():
    module = nn.BatchNorm1d(2)
    average = Average(module, decay=0.9)
    expected = module.weight.detach().clone()
    for step in range(1, 200):
        with torch.no_grad():
            module.weight.copy_(torch.tensor((float(step % 3), -1.0)))
            module.running_mean += 1
            module.num_batches_tracked += 1
        average.update(module)
        decay = min(0.9, step / (step + 9))
        expected = decay * expected + (1 - decay) * module.weight.detach()
    assert torch.allclose(average.module.weight, expected, atol=1e-5)
    assert 150 < average.module.running_mean[0] < 199
    assert average.module.num_batches_tracked == 199
    assert not average.module.training
    assert not average.module.weight.requires_grad
