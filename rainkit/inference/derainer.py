"""The :class:`Derainer`: a method with weights, ready for pictures of any size and kind."""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from pickle import PicklingError
from typing import Any, Generic, Self, TypeVar, overload

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from rainkit import images, networks
from rainkit.api import RAIN, Method, Part
from rainkit.errors import ImageError, MethodError, RainkitError, UsageError, one_line
from rainkit.images import LUMA_WEIGHTS, Picture, shrink
from rainkit.inference import tiles
from rainkit.inference.arrays import (
    as_batch,
    check_array,
    check_size,
    to_array,
    to_floats,
    to_tensor,
)
from rainkit.inference.choice import RainKind
from rainkit.inference.dryness import can_tell
from rainkit.inference.memory import bytes_per_pixel, largest_side
from rainkit.inference.tiles import Grid, NetworkOutput
from rainkit.inference.traces import spare_traces
from rainkit.inference.video import OnFrame, VideoResult, derain_video
from rainkit.inference.work_size import (
    can_be_enlarged,
    choose_longest_side,
    enlarge,
    enlarge_fine,
    longest_seen,
    resized,
    stays_full,
)
from rainkit.networks import ImageOnly
from rainkit.runtime_options import SMALLEST_TILE, Effort, Magnification
from rainkit.weights import WeightsFile

__all__ = [
    "DerainedItem",
    "Derainer",
    "Result",
]


_WHOLE = Effort()

_SURELY_FITS = 256
"""Side in pixels of pictures for which free memory is not looked at."""
_BAND = 512
"""Rows that are converted at a time where a large picture is handled as a whole."""
_BATCH_PIXELS = 2**21
"""Largest number of pixels of pictures that run together: eight of 512 x 512."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A derained picture.

    Attributes:
        picture: the picture without its rain.
        parts: what the method estimates besides, ``rain`` included, with the picture's bit depth;
            empty if the parts were not asked for. Signed parts are shown as 0.5 + value / 2.
        blocks: number of blocks that ran; None if the method is not an anytime method.
        work_size: width and height in pixels that the network saw, if the picture was shrunk or
            enlarged for it; else None.
        by: name of the weights, if they were chosen for this picture.
        rain: the kind of rain that they were chosen for; None if they suit every kind.
        dry: whether the picture was left as it is, since no rain was found.
        notes: what else is to be known, such as smaller tiles for lack of memory.
    """

    picture: Picture
    parts: dict[str, Picture] = field(default_factory=dict)
    blocks: int | None = None
    work_size: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    by: str | None = None
    rain: RainKind | None = None
    dry: bool = False


_Image = TypeVar("_Image", NDArray[Any], Image.Image, Tensor)


@dataclass(frozen=True, kw_only=True, slots=True)
class DerainedItem(Generic[_Image]):
    """What became of one of many images.

    Attributes:
        index: its place among those that were given, from 0.
        given: the image or path that was given.
        image: the image without its rain; None if there is an error.
        error: why there is no image; None if there is one.
    """

    index: int
    given: _Image | str | Path
    image: _Image | None = None
    error: Exception | None = None


class Derainer:
    """A network with its weights on a device.

    It keeps nothing of pictures, so that threads may share it. Pickled, as for the workers of a
    ``DataLoader`` that are spawned, it is how it was loaded: the other process reads the weights
    itself.

    Attributes:
        method: the method.
        weights: the weights file.
        network: the prepared network.
        runtime: device and precision.
        grid: how large pictures are cut into tiles, if the memory suffices.
        fit: whether tiles are made smaller if the free memory does not hold those of the grid.
        work_size: longest side in pixels of what the network sees, or a factor of the size of each
            picture; 0 for the full size, None for a size that suits the streaks of each picture.
        strength: factor of the rain that is taken off results; parts are not scaled.
        spare_traces: whether what is too faint to be rain is given back, see
            :mod:`rainkit.inference.traces`; what the network sees is set right, so that a shrunk
            picture is before its rain is enlarged.
    """

    def __init__(
        self,
        *,
        method: Method,
        weights: WeightsFile,
        network: ImageOnly,
        grid: tiles.Grid,
        effort: Effort = _WHOLE,
        work_size: int | Magnification | None = 0,
        strength: float = 1.0,
        spare_traces: bool = False,
        fit: bool = False,
        remake: Callable[[], Derainer] | None = None,
    ) -> None:
        self._remake = remake
        self.method = method
        self.weights = weights
        self.network = network
        self.runtime = network.runtime
        self.grid = grid
        self.fit = fit
        self._largest: int | None = None  # side of tiles after a lack of memory
        self._per_pixel: float | None = None
        self._watched = False
        self.work_size = work_size
        self.strength = strength
        self.spare_traces = spare_traces
        blocks = method.blocks and method.blocks(weights.network)
        self._plan = tiles.Plan(effort=effort, blocks=blocks)

    def __reduce__(self) -> tuple[Callable[..., Derainer], tuple[Any, ...]]:
        if self._remake is None:
            raise PicklingError("a Derainer that rainkit.load did not make cannot be pickled")
        changed = {name: getattr(self, name) for name in ("work_size", "strength", "spare_traces")}
        return _unpickled, (self._remake, changed)

    def __copy__(self) -> Self:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    @property
    def effort(self) -> Effort:
        """Share of the network that runs."""
        return self._plan.effort

    @property
    def blocks(self) -> int | None:
        """Number of blocks of the network; None if the method is not an anytime method."""
        return self._plan.blocks

    @property
    def name(self) -> str:
        """Name of the method, or ``auto``."""
        return self.method.name

    def backend(self, *, parts: bool = False) -> str:
        """Return what has executed the network so far, such as ``eager, then openvino``.

        Args:
            parts: whether parts were asked for, which only torch computes.
        """
        whole = self.effort.whole and not parts
        return self.network.ran_on if whole or self.network.runner is None else "eager"

    @property
    def tells_dry(self) -> bool:
        """Whether what it takes off a picture says if there was rain."""
        return can_tell(self.weights)

    @property
    def parameters(self) -> int:
        """Number of trainable parameters of the network."""
        return networks.parameters(self.network)

    @overload
    def derain(self, image: str | Path) -> NDArray[Any]: ...
    @overload
    def derain(self, image: Image.Image) -> Image.Image: ...
    @overload
    def derain(self, image: NDArray[Any]) -> NDArray[Any]: ...
    @overload
    def derain(self, image: Tensor) -> Tensor: ...

    def derain(self, image: Any) -> Any:
        """Take the rain out of a picture; the result has the kind and size of the picture given.

        >>> derainer.derain(array)  # [H,W,3] uint8 or uint16, RGB  # doctest: +SKIP
        >>> derainer.derain(tensor)  # [3,H,W] or [B,3,H,W] float in [0,1]  # doctest: +SKIP
        >>> derainer.derain(Image.open("rainy.png")).save("clean.png")  # doctest: +SKIP

        PIL images are turned upright by their EXIF orientation. The rest of the EXIF data and the
        colour profile are in the result's ``info``, for ``save(path, exif=image.info["exif"])``.

        >>> derainer.derain("rainy.jpg")  # the array of the upright picture  # doctest: +SKIP

        Values of tensors may leave [0,1] a little, as after resizing; those below -0.5 or above 1.5
        are refused, since such a tensor has another range.

        Raises:
            UsageError: the image is not of one of these kinds, or values of a tensor are not finite
                or out of range.
            ImageError: the file, or that of the PIL image, cannot be read.
            MethodError: the network gave nan or infinity.
        """
        if isinstance(image, (str, Path)):
            return self._derain_array(images.read(image).rgb)
        if isinstance(image, Image.Image):
            return self._derain_pil(image)
        if isinstance(image, np.ndarray):
            return self._derain_array(image)
        if isinstance(image, Tensor):
            return self._derain_tensor(image)
        raise UsageError(
            f"cannot derain a {type(image).__name__}: give a path, a PIL image, "
            "an [H,W,3] array or a [3,H,W] tensor"
        )

    @overload
    def derain_many(
        self, given: Iterable[str | Path], *, ahead: int = ..., raising: bool = ...
    ) -> Iterator[DerainedItem[NDArray[Any]]]: ...
    @overload
    def derain_many(
        self, given: Iterable[_Image], *, ahead: int = ..., raising: bool = ...
    ) -> Iterator[DerainedItem[_Image]]: ...

    def derain_many(
        self, given: Iterable[Any], *, ahead: int = 2, raising: bool = False
    ) -> Iterator[DerainedItem[Any]]:
        """Take the rain out of many images, one after another, in their order.

        >>> for item in derainer.derain_many(paths):  # doctest: +SKIP
        ...     print(item.given, item.error or item.image.shape)

        Images are decoded and derained in threads while the caller works on the one before. An
        image that cannot be derained is an item with an error, and the others go on.

        Args:
            given: images or paths that :meth:`derain` takes; it may be endless.
            ahead: largest number of images that are taken from it before they are asked for.
            raising: whether to raise the error of an image instead, which ends the iteration.

        Raises:
            UsageError: ``ahead`` is below 1; or, with ``raising``, as :meth:`derain`.
            ImageError, MethodError: with ``raising``, as :meth:`derain`.
        """
        if ahead < 1:
            raise UsageError(f"ahead={ahead}: give 1 or more images")
        return self._many(given, ahead, raising=raising)

    def _many(
        self, given: Iterable[Any], ahead: int, *, raising: bool
    ) -> Iterator[DerainedItem[Any]]:
        reader, worker = (ThreadPoolExecutor(1, f"rainkit-{name}") for name in ("read", "derain"))
        waiting: deque[tuple[int, Any, Future[Any]]] = deque()
        images_left = enumerate(given)
        end: BaseException | None = None
        try:
            while True:
                while end is None and len(waiting) < ahead:
                    try:
                        index, each = next(images_left)
                    except Exception as stop:  # what was taken before an error is not lost
                        end = stop
                    else:
                        read = reader.submit(_decoded, each)
                        waiting.append((index, each, worker.submit(self._derain_read, read)))
                if not waiting:
                    break
                index, each, future = waiting.popleft()
                error = future.exception()
                if error is None:
                    item = DerainedItem(index=index, given=each, image=future.result())
                elif raising or not isinstance(error, Exception):
                    raise error
                else:
                    item = DerainedItem(index=index, given=each, error=error)
                yield item
            if not isinstance(end, StopIteration) and end is not None:
                raise end
        finally:
            for pool in (reader, worker):
                pool.shutdown(wait=False, cancel_futures=True)

    def _derain_read(self, read: Future[Any]) -> Any:
        return self.derain(read.result())

    def parts(self, image: str | Path | NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Return what the method estimates besides its result, by name, in the network's units.

        Args:
            image: a path, or an [H,W,3] array of uint8 or uint16.

        Returns:
            float32 arrays [H,W,3] or [H,W,1]. There is always ``rain``, the rainy picture minus
            the clean one; ``rainkit methods show`` describes the others.

        Raises:
            UsageError, ImageError, MethodError: as :meth:`derain`.
        """
        return self.derain_with_parts(image)[1]

    def derain_with_parts(
        self, image: str | Path | NDArray[Any]
    ) -> tuple[NDArray[Any], dict[str, NDArray[np.float32]]]:
        """Return the results of :meth:`derain` and :meth:`parts` from one run.

        Args:
            image: a path, or an [H,W,3] array of uint8 or uint16.

        Raises:
            UsageError, ImageError, MethodError: as :meth:`derain`.
        """
        rgb = images.read(image).rgb if isinstance(image, (str, Path)) else image
        output = self._run_array(rgb, parts=True)
        rain = images.to_tensor(rgb) - output.image.clamp(0, 1)
        parts = {RAIN: rain} | output.parts()
        return self._result(output, rgb), {
            name: part[0].permute(1, 2, 0).float().numpy() for name, part in parts.items()
        }

    def derain_picture(
        self, picture: Picture, on_tile: tiles.OnTile | None = None, *, parts: bool = False
    ) -> Result:
        """Take the rain out of a decoded file; alpha, EXIF data and colour profile are kept.

        Args:
            picture: the rainy picture.
            on_tile: called after each tile with the number of tiles done and of all tiles.
            parts: whether to return the method's parts, too; of several frames, those of the first.
        """
        if picture.following:
            return self._derain_frames(picture, on_tile, parts=parts)
        before = self._tiles.side
        into = None if parts else np.empty_like(picture.rgb)
        output = self._run_array(picture.rgb, on_tile, parts=parts, into=into)
        result = self._finished(picture, output, parts, into)
        return dataclasses.replace(result, notes=_about_tiles(before, self._tiles.side))

    def batch_size(self, width: int, height: int, wanted: int | None = None) -> int:
        """Return how many pictures of a size :meth:`derain_batch` best takes at a time.

        It is 1 on processors, where a batch is no faster, and for pictures that do not run in one
        piece: in one tile, at their full size, and through a fixed number of blocks.

        Args:
            width: width in pixels.
            height: height in pixels.
            wanted: another number; None for one that suits the device.

        Raises:
            UsageError: the pictures have no pixel.
        """
        check_size(height, width)
        longest, side = max(width, height), self._tiles.side
        whole = side == 0 or longest <= side
        if self.work_size is None:
            full = stays_full(longest)
        else:
            full = longest_seen(self.work_size, longest) == longest
        if not whole or not full or self.effort.stop_below is not None:
            return 1
        most = self.largest_batch if wanted is None else wanted
        return max(1, min(most, _BATCH_PIXELS // (width * height)))

    @property
    def largest_batch(self) -> int:
        """Largest number of pictures that suits the device, however small they are."""
        return 16 if self.runtime.device.type == "cuda" else 1

    def derain_batch(self, pictures: Sequence[Picture]) -> list[Result]:
        """Take the rain out of decoded files of one size, for which :meth:`batch_size` is above 1.

        The network sees them at once. Samples are converted on its device. Files with further
        frames or pages run one by one, as :meth:`derain_picture` does.

        Raises:
            UsageError: they differ in size, or one is not [H,W,3] of uint8 or uint16.
            MethodError: the network gave nan or infinity for one of them.
            RuntimeError: there is too little memory for all of them at a time.
        """
        for each in pictures:
            check_array(each.rgb)
        single = [each for each in pictures if not each.following]
        if len(sizes := {each.size for each in single}) > 1:
            told = ", ".join(f"{width}x{height}" for width, height in sorted(sizes))
            raise UsageError(f"cannot derain pictures of {told} together: give one size")
        together = iter(self._derain_together(single) if single else ())
        return [self.derain_picture(e) if e.following else next(together) for e in pictures]

    def _derain_together(self, pictures: Sequence[Picture]) -> list[Result]:
        device = self.runtime.device
        batch = torch.cat([images.to_tensor(each.rgb, device) for each in pictures])
        output = tiles.run_network(
            self.network,
            self._plan,
            lambda rows, columns: batch[..., rows, columns],
            (batch.shape[2], batch.shape[3]),
            dataclasses.replace(self.grid, side=0),
            device=device,
        )
        self._checked(output)
        results = []
        for layers, each in zip(torch.split(output.layers, 1), pictures, strict=True):
            of_one = dataclasses.replace(output, layers=layers)
            output_of_one = self._refined(self._spared(of_one, each.rgb), each.rgb)
            results.append(self._finished(each, output_of_one, False))
        return results

    def _finished(
        self,
        picture: Picture,
        output: NetworkOutput,
        parts: bool,
        into: NDArray[Any] | None = None,
    ) -> Result:
        """Return the result of a picture from what the network gave for it."""
        clean = self._result(output, picture.rgb, into)
        shown: dict[str, Picture] = {}
        if parts:
            signed = {name for name, part in self._declared().items() if part.signed}
            layers = output.parts()
            if RAIN not in layers:
                layers[RAIN] = images.to_tensor(picture.rgb) - output.image.clamp(0, 1)
                signed.add(RAIN)
            for name, part in layers.items():
                visible = part / 2 + 0.5 if name in signed else part
                shown[name] = Picture(to_array(visible.expand(-1, 3, -1, -1), picture.rgb))
        clean_picture = dataclasses.replace(picture, rgb=clean)
        height_and_width = output.work_size
        return Result(
            picture=clean_picture,
            parts=shown,
            blocks=output.blocks,
            work_size=height_and_width and (height_and_width[1], height_and_width[0]),
        )

    def derain_video(
        self,
        path: str | Path,
        output: str | Path | None = None,
        *,
        steady: bool = False,
        overwrite: bool = False,
        on_frame: OnFrame | None = None,
    ) -> VideoResult:
        """Take the rain out of a video file; sound, subtitles and timestamps are kept.

        >>> derainer.derain_video("clip.mp4", "clean.mp4")  # doctest: +SKIP

        A call that was stopped goes on after its last hundred frames when it is repeated.

        Args:
            path: the video.
            output: the file to write, with the suffix mp4, m4v, mov, mkv, webm or gif; None for
                ``clip-METHOD.mp4`` beside the video.
            steady: reduce flicker of what stands still.
            overwrite: replace an existing file.
            on_frame: called after each frame with the number of frames done, and of all.

        Returns:
            What was done, with damaged frames and what the output does not keep.

        Raises:
            UsageError: PyAV is missing, or the output cannot hold what the video holds.
            ImageError: the video cannot be read.
            FileError: the output exists or cannot be written.
        """
        path = Path(path)
        if output is None:
            output = path.with_name(f"{path.stem}-{self.name}{path.suffix}")
        return derain_video(
            self, path, Path(output), steady=steady, overwrite=overwrite, on_frame=on_frame
        )

    def suited_to(self, frames: Iterable[NDArray[Any]]) -> Derainer:
        """Return the derainer for all frames of a video; it is this one if there is no choice.

        Args:
            frames: some frames, [H,W,3] of uint8 or uint16.
        """
        return self

    def suited_work_size(self, rgb: NDArray[Any]) -> int:
        """Return the longest side in pixels at which the streaks of a picture suit the network.

        Args:
            rgb: [H,W,3] of uint8 or uint16.
        """
        return choose_longest_side(rgb, self._find_rain)

    def at_work_size(self, longest: int) -> Derainer:
        """Return a derainer with the same network that sees all pictures at one size.

        Args:
            longest: longest side in pixels; 0 for the full size.
        """
        fixed = copy.copy(self)
        fixed.work_size = longest
        return fixed

    def settings(self) -> dict[str, Any]:
        """Return what decides the pixels of results besides the weights, as data for JSON."""
        size = self.work_size
        return {
            "device": self.runtime.device.type,
            "precision": str(self.runtime.precision),
            "tile": self.grid.side,
            "work_size": str(size) if isinstance(size, Magnification) else size,
            "effort": str(self.effort),
            "strength": self.strength,
            "spare_traces": self.spare_traces,
        }

    def _derain_frames(
        self, picture: Picture, on_tile: tiles.OnTile | None, *, parts: bool
    ) -> Result:
        """Derain all frames or pages; on_tile counts these."""
        first, *others = dataclasses.replace(picture, following=()), *picture.following
        result = self.derain_picture(first, parts=parts)
        clean = []
        for number, each in enumerate(others, 1):
            if on_tile is not None:
                on_tile(number, 1 + len(others))
            clean.append(self.derain_picture(each).picture)
        whole = dataclasses.replace(result.picture, following=tuple(clean))
        return dataclasses.replace(result, picture=whole)

    def _declared(self) -> Mapping[str, Part]:
        return self.method.parts_of(self.weights.network)

    def _derain_array(self, rgb: NDArray[Any]) -> NDArray[Any]:
        into = np.empty_like(rgb)
        return self._result(self._run_array(rgb, into=into), rgb, into)

    def _result(
        self, output: NetworkOutput, rgb: NDArray[Any], into: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Return the result as an array of the picture's dtype, its rain scaled by the strength.

        Args:
            output: what the network gave.
            rgb: the picture.
            into: the result without scaling; None if the output has it.
        """
        clean = to_array(output.image, rgb) if into is None else into
        if self.strength == 1:
            return clean
        return np.asarray(cv2.addWeighted(clean, self.strength, rgb, 1 - self.strength, 0))

    def _run_array(
        self,
        rgb: NDArray[Any],
        on_tile: tiles.OnTile | None = None,
        *,
        parts: bool = False,
        into: NDArray[Any] | None = None,
    ) -> NetworkOutput:
        check_array(rgb)
        return self._run_at_work_size(rgb, on_tile, parts=parts, into=into)

    def _run_at_work_size(
        self,
        rgb: NDArray[Any],
        on_tile: tiles.OnTile | None = None,
        *,
        parts: bool = False,
        into: NDArray[Any] | None = None,
    ) -> NetworkOutput:
        """Run the network on a picture [H,W,3] of uint8, uint16 or float32 at its work size.

        The result is rounded into an array if one is given, and left out of the output then.
        """
        full = max(rgb.shape[:2])
        if self.work_size is None:
            longest = self.suited_work_size(rgb)
        else:
            longest = longest_seen(self.work_size, full)
        if longest != full:
            seen = shrink(rgb, longest) if longest < full else enlarge(rgb, longest)
            return self._run_through(seen, rgb, on_tile, parts=parts, into=into)
        output = self._run_at_full_size(rgb, on_tile, parts=parts, into=into)
        return self._refined(output, rgb, parts=parts, into=into)

    def _refined(
        self,
        output: NetworkOutput,
        rgb: NDArray[Any],
        *,
        parts: bool = False,
        into: NDArray[Any] | None = None,
    ) -> NetworkOutput:
        """Run the network once more, on the enlarged picture, if its rain was too fine for it."""
        if self.work_size is not None or not can_be_enlarged(rgb.shape[0], rgb.shape[1]):
            return output
        clean = output.image.clamp(0, 1) if into is None else to_tensor(into)
        larger = enlarge_fine(rgb, 255 * _luma(to_tensor(rgb) - clean.cpu()))
        return output if larger is None else self._run_through(larger, rgb, parts=parts, into=into)

    def _run_through(
        self,
        seen: NDArray[Any],
        rgb: NDArray[Any],
        on_tile: tiles.OnTile | None = None,
        *,
        parts: bool = False,
        into: NDArray[Any] | None = None,
    ) -> NetworkOutput:
        """Take the rain that the network finds in a picture off the same one of another size."""
        full = (rgb.shape[0], rgb.shape[1])
        output = self._run_at_full_size(seen, on_tile, parts=parts)
        rain = to_tensor(seen) - output.image.clamp(0, 1)
        work_size = (seen.shape[0], seen.shape[1])
        if into is not None:
            for place, plane in enumerate(rain[0]):
                _take_off(resized(plane.numpy(), full), rgb, into, place)
            empty = torch.empty(1, 0, *full)
            return dataclasses.replace(output, layers=empty, work_size=work_size)
        layers = _resized(torch.cat([rain, output.layers[:, 3:]], dim=1), full)
        layers[:, :3] = to_tensor(rgb) - layers[:, :3]
        return dataclasses.replace(output, layers=layers, work_size=work_size)

    def _run_at_full_size(
        self,
        rgb: NDArray[Any],
        on_tile: tiles.OnTile | None = None,
        *,
        parts: bool = False,
        into: NDArray[Any] | None = None,
    ) -> NetworkOutput:
        output = self._run(
            lambda rows, columns: to_tensor(rgb[rows, columns]),
            (rgb.shape[0], rgb.shape[1]),
            torch.device("cpu"),
            parts=parts,
            on_tile=on_tile,
            into=into,
        )
        return self._spared(output, rgb, into)

    def _spared(
        self, output: NetworkOutput, rgb: NDArray[Any], into: NDArray[Any] | None = None
    ) -> NetworkOutput:
        """Give traces back to the result for a picture [H,W,3], if the method is to.

        The result is in an array, or else in the output; it is rounded there, too, so that both
        have the same pixels.
        """
        if not self.spare_traces:
            return output
        if into is not None:
            spare_traces(rgb, into)
            return output
        clean = to_array(output.image, rgb)
        spare_traces(rgb, clean)
        image = to_tensor(clean).to(output.layers.device)
        return dataclasses.replace(output, layers=torch.cat([image, output.layers[:, 3:]], dim=1))

    def _find_rain(self, rgb: NDArray[Any]) -> NDArray[np.float32]:
        """Return the luma [H,W] of the light that the network takes off a picture."""
        return _luma(to_tensor(rgb) - self._run_at_full_size(rgb).image.clamp(0, 1))

    def _derain_tensor(self, rainy: Tensor) -> Tensor:
        batch = as_batch(rainy)
        clean = self._derain_resized(batch) if self.work_size != 0 else self._derain_each(batch)
        clean = clean.to(rainy.device, rainy.dtype)
        if self.strength != 1:
            clean = torch.lerp(batch.detach(), clean, self.strength)
        return clean.clamp_(0, 1).reshape(rainy.shape)

    def _derain_each(self, batch: Tensor) -> Tensor:
        # Each picture of a batch may stop after another block.
        single = self._plan.effort.stop_below is not None
        done = [self._derain_batch(each) for each in (torch.split(batch, 1) if single else [batch])]
        return torch.cat(done).clamp_(0, 1)

    def _derain_resized(self, batch: Tensor) -> Tensor:
        """Derain the pictures of a batch one by one, each at its own work size."""
        arrays = to_floats(batch)
        return torch.cat([self._run_at_work_size(each).image for each in arrays]).clamp_(0, 1)

    def _derain_batch(self, batch: Tensor) -> Tensor:
        image = self._run(
            lambda rows, columns: batch[..., rows, columns].detach().float(),
            (batch.shape[2], batch.shape[3]),
            batch.device,
        ).image
        if not self.spare_traces:
            return image
        every = []
        for rainy, clean in zip(to_floats(batch), to_floats(image), strict=True):
            spare_traces(rainy, clean)
            every.append(to_tensor(clean))
        return torch.cat(every).to(image.device)

    def _derain_pil(self, given: Image.Image) -> Image.Image:
        """Derain the upright picture; keep the EXIF data and colour profile that still apply."""
        try:
            given.load()
        except Exception as error:  # of a damaged file, for which Pillow may raise anything
            name = getattr(given, "filename", "") or "the PIL image"
            raise ImageError(f"{name}: cannot be decoded ({one_line(error)})") from error
        exif, _ = images.metadata(given)
        clean = self._derain_pixels(_upright(given))
        if exif is not None:
            clean.info["exif"] = exif
        icc = given.info.get("icc_profile")
        if images.profile_fits(icc, grey=clean.mode in ("L", "LA", "I;16")):
            clean.info["icc_profile"] = icc
        return clean

    def _derain_pixels(self, image: Image.Image) -> Image.Image:
        if image.mode.startswith("I;16"):
            grey = np.asarray(image).astype(np.uint16)
            clean = self._derain_array(np.dstack([grey] * 3))
            return Image.fromarray(clean.mean(axis=2).round().astype(np.uint16))
        if image.mode in ("I", "F"):
            raise UsageError(f"cannot derain a PIL image of mode {image.mode}: convert it to RGB")
        clear = image.has_transparency_data
        rgba = image.convert("RGBA" if clear else "RGB")
        clean_image = Image.fromarray(self._derain_array(np.array(rgba)[..., :3]))
        if image.mode in ("1", "L", "LA"):
            clean_image = clean_image.convert("L")
        if clear:
            clean_image.putalpha(rgba.getchannel("A"))
        return clean_image

    def _run(
        self,
        cut: Callable[[slice, slice], Tensor],
        size: tuple[int, int],
        device: torch.device,
        *,
        parts: bool = False,
        on_tile: tiles.OnTile | None = None,
        into: NDArray[Any] | None = None,
    ) -> NetworkOutput:
        """Run the network; on lack of memory start again with tiles of half the side."""
        plan = dataclasses.replace(self._plan, parts=parts)
        grid = self._fitted(max(size))
        while True:
            try:
                output = tiles.run_network(
                    self.network, plan, cut, size, grid, on_tile, device, into
                )
            except (RuntimeError, MemoryError) as error:
                if not networks.out_of_memory(error):
                    raise
            else:
                return self._checked(output)
            side = min(grid.side or max(size), max(size)) // 2
            if self.network.spec.tiling == "never" or side < SMALLEST_TILE:
                raise RainkitError(
                    f"{self.runtime.device.type} has too little memory for this picture; "
                    "try --device cpu or a smaller picture"
                )
            if self.runtime.device.type == "cuda":
                torch.cuda.empty_cache()
            self._largest = side
            grid = self._tiles

    @property
    def _tiles(self) -> Grid:
        """The grid with tiles that have found memory so far."""
        if self._largest is None:
            return self.grid
        return dataclasses.replace(self.grid, side=self._largest)

    def _fitted(self, longest: int) -> Grid:
        """Return the grid for a picture, whose tiles the free memory holds as far as is known."""
        grid = self._tiles
        side = min(grid.side or longest, longest)
        if not self.fit or side <= _SURELY_FITS or self.network.spec.tiling == "never":
            return grid
        if not self._watched:
            step = grid.multiple_of
            small = -(-max(SMALLEST_TILE, grid.min_size) // step) * step
            self._per_pixel = bytes_per_pixel(self.network, small)
            self._watched = True
        if self._per_pixel is None:
            return grid
        device = self.runtime.device
        fitting = largest_side(self._per_pixel, grid.halo, device, side, SMALLEST_TILE)
        if fitting < side:
            self._largest = fitting
        return self._tiles

    def _checked(self, output: NetworkOutput) -> NetworkOutput:
        if not (output.finite and bool(torch.isfinite(output.layers).all())):
            raise MethodError(
                f"{self.method.name} gave nan or infinity in "
                f"{self.runtime.precision}; try --precision fp32, or other weights"
            )
        return output


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken metadata, for which Pillow may raise anything, does no harm here
        return image


def _resized(layers: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize layers [1,C,h,w] to a height and width."""
    planes = [resized(plane, size) for plane in layers[0].float().contiguous().numpy()]
    return torch.from_numpy(np.stack(planes))[None]


def _luma(rain: Tensor) -> NDArray[np.float32]:
    """Return the luma [H,W] of the light in a rain layer [1,3,H,W]."""
    layer = rain[0].clamp(min=0).permute(1, 2, 0).contiguous().numpy()
    return np.asarray(cv2.transform(layer, LUMA_WEIGHTS), np.float32)


def _decoded(image: Any) -> Any:
    return images.read(image).rgb if isinstance(image, (str, Path)) else image


def _take_off(
    rain: NDArray[np.float32], rgb: NDArray[Any], into: NDArray[Any], channel: int
) -> None:
    """Round a channel of a picture [H,W,3] without its rain [H,W] into an array, row by row."""
    for top in range(0, rgb.shape[0], _BAND):
        rows, one = slice(top, top + _BAND), slice(channel, channel + 1)
        clean = to_tensor(rgb[rows, :, one]) - torch.from_numpy(rain[rows])
        into[rows, :, one] = to_array(clean, into)


def _unpickled(remake: Callable[[], Derainer], changed: Mapping[str, Any]) -> Derainer:
    derainer = remake()
    vars(derainer).update(changed)
    return derainer


def _about_tiles(before: int, after: int) -> tuple[str, ...]:
    if after == before:
        return ()
    usual = f"{before} px" if before else "a single one"
    return (f"cut into tiles of {after} px instead of {usual}, for lack of memory",)
