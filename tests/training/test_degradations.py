"""What befalls clean photographs in a training: rain painted on the device, and noise."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from rainkit import images, training
from rainkit.datasets.sources import DataRequest
from rainkit.errors import UsageError
from rainkit.rain.noise import Noise
from rainkit.training import run_config


def _weights(run: Path) -> dict:
    return load_file(run / "checkpoints" / "step-00000006" / "model.safetensors")


@pytest.fixture
def on_device(photos: Path, pairs: Path, tmp_path: Path) -> DataRequest:
    trained = tmp_path / "pairs"
    for path in images.find([pairs]):
        flipped = np.ascontiguousarray(images.read(path.path).rgb[:, ::-1])
        images.write(trained / path.path.relative_to(pairs), images.Picture(flipped))
    return DataRequest(
        clean=(str(photos),),
        pairs=(str(trained),),
        validation=(str(pairs),),
        rain_on="device",
        jpeg=0.0,
    )


def test_rain_on_the_device_trains_validates_and_resumes_in_the_same_bits(
    request_for, on_device: DataRequest
) -> None:
    whole = request_for("whole", data=on_device, workers=1)
    result = training.train(whole)
    assert result.steps == 6
    assert result.best is not None
    cut = whole.run.with_name("cut")
    shutil.copytree(whole.run, cut)
    shutil.rmtree(cut / "checkpoints" / "step-00000006")
    training.train(training.reopen(cut, settings=("run.workers=0",)))
    one, other = _weights(whole.run), _weights(cut)
    assert all((one[name] == other[name]).all() for name in one)


def test_both_painters_train_alike(request_for, photos: Path) -> None:
    """Rain a level apart here and there leads to nearly the same weights, not to others."""
    ends = []
    for painter in ("workers", "device"):
        data = DataRequest(clean=(str(photos),), rain_on=painter, jpeg=0.0)
        training.train(request := request_for(painter, data=data))
        ends.append(_weights(request.run))
    apart = [(ends[0][name].float() - ends[1][name].float()).abs().max() for name in ends[0]]
    assert max(apart) < 1e-3


def test_noise_trains(request_for, photos: Path) -> None:
    noise = Noise(sigma_low=30.0, sigma_high=30.0)
    data = DataRequest(clean=(str(photos),), degradation="noise", noise=noise)
    request = request_for(data=data)
    assert training.train(request).steps == 6
    assert training.reopen(request.run).data.noise == noise


def test_recipes_and_settings_reach_noise_and_painter() -> None:
    data = run_config.with_settings(
        {"degradation": "noise", "noise": {"sigma_low": 5}},
        ["data.noise.sigma_high=50", "data.rain_on=device", "data.jpeg=0", "data.rain.dense=0.5"],
    )
    request = run_config.data_request(data, {})
    assert request.noise == Noise(sigma_low=5.0, sigma_high=50.0)
    assert (request.degradation, request.rain_on, request.rain.dense) == ("noise", "device", 0.5)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("data.noise.sigma=3", r"data\.noise\.sigma: no such setting: did you mean"),
        ("data.noise.sigma_high=300", "sigma_high <= 255"),
        ("data.noise=3", "write data.name=value"),
        ("data.rain_on=gpu", r"data\.rain_on: .*'workers' or 'device'"),
        ("data.rain_on=device", r"data\.jpeg = 0\.3: .*set data\.jpeg = 0"),
    ],
)
def test_wrong_settings_are_refused(setting: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        run_config.data_request(run_config.with_settings({}, [setting]), {})
