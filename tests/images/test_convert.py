"""Conversion of pixels to tensors and back, to 8 bits, and to smaller sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rainkit import images
from rainkit.errors import ImageError


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_value_survives_the_round_trip(dtype):
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    rgb = np.dstack([values.reshape(16, -1)] * 3)
    tensor = images.to_tensor(rgb)
    assert tensor.shape == (1, 3, 16, len(values) // 16)
    assert tensor.dtype == torch.float32
    assert (tensor.min(), tensor.max()) == (0, 1)
    again = images.to_array(tensor, dtype)
    assert again.dtype == dtype
    assert again.flags.c_contiguous
    np.testing.assert_array_equal(again, rgb)


def test_channels_stay_in_order_for_views_and_read_only_arrays():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    rgb.flags.writeable = False
    np.testing.assert_array_equal(images.to_array(images.to_tensor(rgb)[0], np.uint8), rgb)
    flipped = rgb[::-1, :, ::-1]
    np.testing.assert_array_equal(images.to_array(images.to_tensor(flipped), np.uint8), flipped)
    assert images.to_tensor(rgb)[0, 2, 1, 4] == rgb[1, 4, 2] / np.float32(255)


def test_to_array_clamps_rounds_and_leaves_its_input_alone():
    tensor = torch.tensor([-0.5, 0.5 / 255 + 1e-6, 2.0]).reshape(3, 1, 1)
    before = tensor.clone()
    assert images.to_array(tensor, np.uint8).tolist() == [[[0, 1, 255]]]
    assert torch.equal(tensor, before)


def test_to_uint8_rounds_to_nearest():
    deep = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(images.to_uint8(deep), np.round(deep / 257.0).astype(np.uint8))
    shallow = np.arange(256, dtype=np.uint8)
    assert images.to_uint8(shallow) is shallow


@pytest.mark.parametrize("convert", [images.to_tensor, images.to_uint8])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_samples_of_no_known_range_are_refused(convert, dtype):
    with pytest.raises(ImageError, match=f"samples of {np.dtype(dtype)} are not taken"):
        convert(np.ones((4, 5, 3), dtype))


@pytest.mark.parametrize(
    ("shape", "longest", "expected"),
    [
        ((40, 100, 3), 50, (20, 50, 3)),
        ((100, 40), 30, (30, 12)),
        ((1000, 1, 3), 10, (10, 1, 3)),
        ((40, 50, 3), 50, (40, 50, 3)),
    ],
)
def test_pictures_are_shrunk_to_a_longest_side_but_never_enlarged(shape, longest, expected):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    small = images.shrink(pixels, longest)
    assert small.shape == expected
    assert small.dtype == np.uint8
    if shape == expected:
        np.testing.assert_array_equal(small, pixels)
    else:
        assert small.mean() == pytest.approx(pixels.mean(), abs=1)
