"""Networks of other programs are run as spandrel runs them, and what cannot be run is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rainkit_spandrel import METHOD
from spandrel import ModelLoader
from spandrel.architectures.Compact import Compact
from spandrel.architectures.NAFNet import NAFNet

from rainkit import images, inference, networks, weights
from rainkit.benchmarking.rows import Job
from rainkit.benchmarking.timing import Subject
from rainkit.cli import main
from rainkit.errors import UsageError, WeightsError
from rainkit.images import Picture

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rainkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["rainkit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def nafnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small NAFNet in a checkpoint such as its authors' programs write."""
    path = tmp_path_factory.mktemp("spandrel") / "nafnet.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NAFNet(width=4, middle_blk_num=1, enc_blk_nums=[1], dec_blk_nums=[1])
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    torch.save({"params": network.state_dict()}, path)
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A pair whose sides the network does not take."""
    rng = np.random.default_rng(0)
    for side in ("input", "target"):
        rgb = rng.integers(0, 255, (21, 35, 3), np.uint8)
        images.write(tmp_path / "pairs" / side / "a.png", Picture(rgb), overwrite=False)
    return tmp_path / "pairs"


def test_infer_gives_what_spandrel_gives(nafnet: Path, pairs: Path, rainkit: Run, tmp_path: Path):
    given = pairs / "input" / "a.png"
    out = tmp_path / "out.png"
    code, _, err = rainkit("infer", given, "-m", "spandrel", "--weights", nafnet, "-o", out)
    assert code == 0, err
    rainy = torch.from_numpy(images.read(given).rgb).permute(2, 0, 1)[None] / 255
    wanted = ModelLoader().load_from_file(nafnet)(rainy)[0].permute(1, 2, 0)
    assert np.array_equal(images.read(out).rgb, (wanted * 255).round().numpy().astype(np.uint8))


def test_eval_scores_a_file(nafnet: Path, pairs: Path, rainkit: Run):
    code, out, err = rainkit("eval", "-m", f"spandrel={nafnet}", pairs, "--json", "--device", "cpu")
    assert code == 0, err
    assert "nafnet.pth" in out
    assert json.loads(out)


def test_bench_times_the_network_of_the_file(nafnet: Path):
    job = Job(
        method="spandrel", weights=str(nafnet), height=16, width=24, device="cpu", runs=1, warmup=1
    )
    network = NAFNet(width=4, middle_blk_num=1, enc_blk_nums=[1], dec_blk_nums=[1])
    assert Subject(job).parameters == sum(each.numel() for each in network.parameters())


def test_a_safetensors_file_is_the_same_network(nafnet: Path, tmp_path: Path):
    from safetensors.torch import save_file

    path = tmp_path / "nafnet.safetensors"
    save_file(torch.load(nafnet, weights_only=True)["params"], path)
    rgb = np.full((8, 9, 3), 99, np.uint8)
    one, other = (inference.load(METHOD, weights=each, device="cpu") for each in (nafnet, path))
    assert np.array_equal(one.derain(rgb), other.derain(rgb))
    assert weights.find(METHOD, str(path)).network.architecture == "NAFNet"


def _saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def _compact(channels: int, scale: int) -> dict[str, torch.Tensor]:
    return Compact(
        num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=1, upscale=scale
    ).state_dict()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: _compact(3, 2), "makes pictures 2 times as large"),
        (
            lambda: NAFNet(img_channel=1, width=4, enc_blk_nums=[1], dec_blk_nums=[1]).state_dict(),
            "from 1 to 1 channels",
        ),
        (lambda: {"body.0.weight": torch.zeros(2, 3)}, r"knows no architecture .*body\.0\.weight"),
        (lambda: {"a": 1}, r"knows no architecture of this file \(no tensors\)"),
        (lambda: [torch.zeros(1)], "holds a list"),
        (lambda: NAFNet(width=4), "only tensors are read"),
    ],
    ids=["scale", "grey", "unknown", "empty", "list", "code"],
)
def test_files_that_cannot_be_run_are_refused(content, reason: str, tmp_path: Path):
    path = _saved(tmp_path / "net.pth", content())
    with pytest.raises(WeightsError, match=rf"net\.pth: .*{reason}"):
        weights.find(METHOD, str(path))


def test_a_damaged_file_is_refused(nafnet: Path, tmp_path: Path):
    path = tmp_path / "cut.pth"
    path.write_bytes(nafnet.read_bytes()[:500])
    with pytest.raises(WeightsError, match=r"cut\.pth: not a whole checkpoint"):
        weights.find(METHOD, str(path))


def test_without_a_file_the_remedy_is_named(rainkit: Run, pairs: Path, tmp_path: Path):
    code, _, err = rainkit("infer", pairs / "input", "-m", "spandrel", "-o", tmp_path / "out")
    assert code == 2
    assert "name a file with --weights" in err
    code, _, err = rainkit("bench", "-m", "spandrel")
    assert code == 2
    assert "spandrel=FILE" in err
    with pytest.raises(UsageError, match=r"net\.pth"):
        weights.find(METHOD, "net.pth")


def test_it_is_not_trained(rainkit: Run, pairs: Path, tmp_path: Path):
    code, _, err = rainkit("train", "-m", "spandrel", "--pairs", pairs, "-o", tmp_path / "run")
    assert code == 2
    assert "cannot be trained" in err


def test_a_network_that_pads_itself_is_padded_once(nafnet: Path):
    file = weights.find(METHOD, str(nafnet))
    spec = METHOD.image(file.network)
    assert (spec.multiple_of, spec.tiling) == (1, "approximate")
    assert networks.parameters(networks.build(METHOD, file.network)) > 0
