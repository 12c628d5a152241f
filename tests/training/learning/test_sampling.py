import shutil

import pytest
import torch

from xpose_stream.engines.xpose.deformable import sample_maps
from xpose_stream.training.learning.sampling import sample

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the Debian package g++ is not installed")
SIZES = ((6, 8), (3, 4))


def inputs() -> list[torch.Tensor]:
    torch.manual_seed(0)
    value = torch.randn(3, 60, 2, 16)
    locations = torch.rand(3, 7, 2, 2, 4, 2) * 1.4 - 0.2  # some outside, some on the border
    weights = torch.rand(3, 7, 2, 2, 4)
    return [tensor.requires_grad_() for tensor in (value, locations, weights)]


@pytest.mark.parametrize("threads", [1, 2])
def test_compiled_samples_and_their_gradients_are_those_of_grid_sample(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        given = inputs()
        wanted = torch.randn(3, 7, 32)
        results = []
        for function in (sample_maps, sample):
            out = function(given[0], SIZES, given[1].unbind(-1), given[2])
            results.append((out, *torch.autograd.grad(out, given, wanted)))
    finally:
        torch.set_num_threads(before)
    for expected, got in zip(*results, strict=True):
        assert torch.allclose(got, expected, atol=2e-5)


def test_double_precision_stays_exact():
    value, locations, weights = (tensor.double() for tensor in inputs())
    places = locations.unbind(-1)
    assert torch.equal(sample(value, SIZES, places, weights), sample_maps(value, SIZES, places, weights))
