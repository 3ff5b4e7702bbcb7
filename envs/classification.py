"""Classification: look at an image one glimpse at a time, then choose its label."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from glimpse_gym.clutter import Canvases, ImageArrays, Range, Warp
from glimpse_gym.env import GlimpseEnv
from glimpse_gym.images.sources import open_images
from glimpse_gym.kernels.backend import NUMPY, Array, Backend
from glimpse_gym.retina import Retina
from glimpse_gym.safe_io import MAX_BYTES
from glimpse_gym.validation import check_choice, check_integer, check_number, shown, to_array
from glimpse_gym.vector import GlimpseVectorEnv
from glimpse_gym.world import Action, Outcome, World

_MAX_COST = 1_000_000.0  # so that sums of costs are accurate
# Columns of the random numbers of an episode.
_IMAGE, _LOCATION, _CANVAS = 0, slice(1, 3), slice(3, None)


class ClassificationWorld(World):
    """Rules of classification for B images; see :class:`ClassificationEnv` for the arguments."""

    choice_name: ClassVar[str] = "label"
    choice_is_final: ClassVar[bool] = True
    image_moves: ClassVar[bool] = False
    length_is_fixed: ClassVar[bool] = True
    reset_options: ClassVar[tuple[str, ...]] = ("image_index",)

    def __init__(
        self,
        num_rows: int,
        *,
        images: Any,
        labels: Any = None,
        split: str = "train",
        num_classes: int | None = None,
        canvas_size: int | tuple[int, int] | None = None,
        num_clutter: int = 0,
        clutter_size: int = 8,
        rotation: Range = 0.0,
        zoom: Range = 1.0,
        shift: Range = 0.0,
        num_glimpses: int = 6,
        patch_size: int = 8,
        num_scales: int = 1,
        first_glimpse: str = "random",
        glimpse_cost: float = 0.0,
        reveal_label: bool = False,
        max_bytes: int = MAX_BYTES,
        backend: Backend = NUMPY,
    ) -> None:
        self.images = open_images(images, labels, split=split, num_classes=num_classes, max_bytes=max_bytes)
        warp = Warp(rotation, zoom, shift)
        if self.images.large and (canvas_size is not None or num_clutter or not warp.is_identity):
            raise ValueError(
                f"{self.images.large.path}: images that stay in their file cannot be placed on a canvas or changed: "
                "leave out canvas_size, num_clutter, rotation, zoom and shift, or give the images as an array"
            )
        if self.images.large and backend.device != "cpu":
            raise ValueError(f"images that stay in their file need device='cpu', got {backend.device!r}")
        self.canvases: Canvases | None = None  # None: images are read from the image set, unchanged
        check_integer("clutter_size", clutter_size, at_least=1)
        if canvas_size is not None or check_integer("num_clutter", num_clutter, at_least=0) or not warp.is_identity:
            self.canvases = Canvases(
                num_rows, self.images, canvas_size, num_clutter, clutter_size, warp, max_bytes, backend
            )
        super().__init__(
            num_rows,
            Retina(patch_size, num_scales),
            num_channels=self.images.num_channels,
            horizon=check_integer("num_glimpses", num_glimpses, at_least=1),
            choice_names=self.images.class_names,
            num_draws=3 + (self.canvases.num_draws if self.canvases else 0),
            image_bytes=self.canvases.num_bytes if self.canvases else 0,
            max_bytes=max_bytes,
            backend=backend,
        )
        self._arrays = ImageArrays(self.images, backend)
        self.first_glimpse = check_choice("first_glimpse", first_glimpse, ("random", "center"))
        self.glimpse_cost = check_number("glimpse_cost", glimpse_cost, -_MAX_COST, _MAX_COST)
        self.reveal_label = check_choice("reveal_label", reveal_label, (True, False))
        self.image_index = backend.zeros(num_rows, np.int64)
        self.labels = backend.zeros(num_rows, np.int64)
        self.predictions = backend.from_host(np.full(num_rows, -1))
        if large := self.images.large:
            large.check_scales(self.retina.patch_size, self.retina.num_scales)
        self._unknown = backend.from_host(np.array(-1))
        self._sizes_differ = bool((self.images.sizes != self.images.sizes[0]).any())
        self.sizes[:] = self._arrays.sizes[0]
        if self.canvases:
            height, width = self.canvases.pixels.shape[1:3]
            self.offsets[:] = backend.from_host(np.arange(num_rows) * (height * width * self.num_channels))
            self.sizes[:] = backend.from_host(np.array((height, width)))
            self.images_are_lazy = self.canvases.is_tiled

    @property
    def _pixels(self) -> Array:
        # Without a canvas the images are read from the image set; _reset_rows selects them by their offsets.
        return self.canvases.pixels.reshape(-1) if self.canvases else self._arrays.pixels

    def _sense(self, rows: Array | None) -> Array:
        if not self.images.large:
            return super()._sense(rows)
        index, locations = self.offsets, self.locations
        if rows is not None:
            index, locations = index[rows], locations[rows]
        return self.images.large.sense(index, locations, self.retina.patch_size, self.retina.num_scales)

    def glimpses_at(self, row: int, locations: Array) -> Array:
        """See :meth:`World.glimpses_at`."""
        if not self.images.large:
            return super().glimpses_at(row, locations)
        index = np.full(len(locations), self.offsets[row])
        return self.images.large.sense(index, locations, self.retina.patch_size, self.retina.num_scales)

    def picture(self, row: int) -> Array:
        """See :meth:`World.picture`."""
        large = self.images.large
        return large.picture(int(self.offsets[row])) if large else super().picture(row)

    def image(self, row: int) -> Array:
        """See :meth:`World.image`. Of an image that stays in its file, a read-only view if it is mapped into memory."""
        return self.images.large.image(int(self.offsets[row])) if self.images.large else super().image(row)

    @property
    def image_size(self) -> tuple[float, float]:
        """See :meth:`World.image_size`."""
        if self.canvases:
            return super().image_size
        height, width = self.images.sizes.mean(axis=0).tolist()
        return height, width

    @property
    def target_boxes(self) -> Array:
        """int64 (B, 4): top, left, height and width in pixels of the frame of each image; for oracles and tests.

        On a canvas that is where the image was placed, before any warp within its frame; otherwise it is all.
        """
        if self.canvases is None:
            return self.backend.concatenate([0 * self.sizes, self.sizes], 1)
        return self.backend.concatenate([self.canvases.corners, self._arrays.sizes[self.image_index]], 1)

    @property
    def num_images(self) -> int:
        """See :meth:`World.num_images`: the images of the split."""
        return len(self.images)

    def _compose_visible(self, rows: np.ndarray) -> None:
        assert self.canvases
        self.canvases.compose_visible(rows, self.locations[rows], self.retina)

    def _compose_whole(self, row: int) -> None:
        assert self.canvases
        self.canvases.compose_whole(row)

    def check_options(self, options: dict[str, Any], num_rows: int) -> dict[str, Any]:
        """See :meth:`World.check_options`. ``image_index`` is one index for all rows, or an array of one per row."""
        options = super().check_options(options, num_rows)
        if "image_index" not in options:
            return {}
        number, value = len(self.images), options["image_index"]
        expected = f"image_index must be an integer, or an integer array with one for each of the {num_rows} rows"
        index = to_array(expected, value, () if getattr(value, "shape", None) == () else (num_rows,))
        if index.dtype.kind not in "iu" or index.shape not in ((), (num_rows,)):
            raise ValueError(f"{expected}, got {shown(value, 200)}")
        if ((index < 0) | (index >= number)).any():
            raise ValueError(
                f"image_index must be from 0 to {number - 1}: the split has {number} images; got {shown(value, 200)}"
            )
        return {"image_index": np.broadcast_to(index.astype(np.int64), (num_rows,))}

    def _reset_rows(self, rows: Array, draws: Array, image_index: Array | None = None) -> None:
        if self.images.large:
            self.images.large.check_unchanged()
        backend, images = self.backend, self._arrays
        if image_index is None:
            image_index = backend.integers_below(draws[:, _IMAGE], len(self.images))
        self.image_index[rows] = image_index
        self.labels[rows] = images.labels[image_index]
        backend.fill(self.predictions, rows, -1)
        if self.first_glimpse == "center":
            backend.fill(self.locations, rows, 0.0)
        else:
            self.locations[rows] = backend.as_float32(2 * draws[:, _LOCATION] - 1)
        if self.canvases:
            self.canvases.compose(rows, image_index, draws[:, _CANVAS])
        else:
            self.offsets[rows] = images.offsets[image_index]
            if self._sizes_differ:
                self.sizes[rows] = images.sizes[image_index]

    def _step_rows(self, action: Action, active: Array) -> Outcome:
        # The last step ends an episode, and so does a committed answer. In action forms without commits, the label of
        # the last step is the answer.
        ended = self.time_is_up & active
        answered = ended
        if action.commits is not None:
            answered = action.commits & active
            ended = ended | answered
        looked = active ^ ended
        backend = self.backend
        backend.copyto(self.locations, action.location, where=looked[:, None])
        if backend.known_none(answered):
            reward = backend.zeros(self.num_rows, np.float64)
        else:
            backend.copyto(self.predictions, action.choice, where=answered)
            reward = backend.as_float64(answered & (action.choice == self.labels))
        if self.glimpse_cost:
            reward -= self.glimpse_cost * backend.as_float64(looked)
        return Outcome(reward, ended, looked)

    def info(self, rows: Array) -> dict[str, Array]:
        """See :meth:`World.info`. The prediction stays -1 if there was no answer."""
        label, prediction = self.labels[rows], self.predictions[rows]
        correct = label == prediction
        if not self.reveal_label:
            self.backend.copyto(label, self._unknown, where=self.running[rows])
        image_index = self.image_index[rows]
        return {
            "image_index": image_index,
            "label": label,
            "prediction": prediction,
            "correct": correct,
            "success": correct,
        }


class ClassificationEnv(GlimpseEnv, gym.Env[Any, Any]):
    """Look at an image one glimpse at a time, then choose its label.

    ## Description
    The classification tasks of section 4.1 of Mnih et al., "Recurrent Models of Visual Attention", 2014. The agent
    never sees the whole image, only glimpses by a retina of limited width: sharp in the middle, coarser around it. At
    every step it chooses where to look next; at the last step it chooses the label.

    With `canvas_size`, the image is placed at a uniformly random position inside a blank canvas. Each of `num_clutter`
    pieces of clutter is a square of `clutter_size` pixels, cut at a random position from another image of the same
    split, and added at a random position inside the canvas; sums are clipped at 255.

    Images in a `.npy` or TIFF file of any size stay in the file, and glimpses read only what they show; they cannot be
    placed on a canvas or warped, and need `device="cpu"`. For patches of more than a million pixels the file needs a
    pyramid, which `glimpse-gym pyramid FILE` builds once. Patches of scale 5 and coarser are then moved to the grid of
    the pyramid, by at most 1/16 of a cell; see docs/large_images.md.

    Before it is placed, the image may be rotated (`rotation`), zoomed (`zoom`) and shifted (`shift`) within its own
    frame, each by a fixed amount, or by an amount drawn uniformly from a range in every episode.

    ## Action Space
    K is the number of classes, T = `num_glimpses`, M = `grid_size`.

    `actions="hybrid"`: `Dict(next_location=Box(-1, 1, (2,), float32), label=Discrete(K))`.

    | key | meaning |
    | --- | --- |
    | `next_location` | where to look next: x to the right, y down, (0, 0) the center; clipped to [-1, 1] |
    | `label` | the answer; only the label of step T counts |

    `actions="discrete"`: `Discrete(M*M + K)`: a < `M*M` looks at the center of cell a of an M x M grid, numbered row
    by row; a >= `M*M` answers label `a - M*M` and ends the episode.

    `actions="multidiscrete"`: `MultiDiscrete([M*M, K])`, a cell and a label; only the label of step T counts.

    `actions="continuous"`: `Box(-1, 1, (2 + K,), float32)`: `next_location`, then one score per label; the label with
    the highest score is the answer (the first of equals), and only that of step T counts.

    ## Observation Space
    A `Dict`, for g = `patch_size`, k = `num_scales`, C channels (1 for grayscale images):

    | key | dtype | shape | range | meaning |
    | --- | --- | --- | --- | --- |
    | `glimpse` | float32 | (k*C, g, g) | 0 to 1 | patches of the retina, finest scale first |
    | `location` | float32 | (2,) | -1 to 1 | where the glimpse was taken |
    | `time` | float32 | (1,) | 0 to 1 | steps taken / T |

    The observation of the last step repeats the last glimpse.

    `observations="flat"` gives the same values as one float32 `Box`: glimpse, location and time, concatenated.

    ## Rewards
    1.0 at the end for the correct label, else 0.0; 0.0 before. `glimpse_cost` is subtracted for every new glimpse.

    ## Starting State
    A uniformly random image of the split, or the one given by `reset(options={"image_index": i})`. The first glimpse is
    at a uniformly random location, or at the center (`first_glimpse`).

    ## Episode End
    `terminated` at step T: steps 1 to T-1 take glimpses 2 to T, step T takes the label. With discrete actions an
    answer ends the episode earlier, and looking at step T ends it without an answer, with reward 0.

    ## Info
    Always the same keys. Until the end `label` and `prediction` are -1, `correct` and `success` False.

    | key | meaning |
    | --- | --- |
    | `image_index` | index of the image in the split, in file order |
    | `label` | true label; with `reveal_label`, given from the reset on |
    | `prediction` | label answered; -1 if there was no answer |
    | `correct`, `success` | whether the prediction is correct |

    ## Metadata
    `env.metadata` describes the task for agents: `num_glimpses`, `num_scales`, `patch_size`, `image_size` (height and
    width in pixels, averaged if images differ), `num_images` (of the split), `choice_names` (of the classes),
    `choice_is_final` (True), `image_moves` (False) and `device`.

    ## Arguments
    | name | default | meaning |
    | --- | --- | --- |
    | `images`, `labels` | by id | name of a data set, arrays or paths; see `glimpse_gym.images.open_images` |
    | `split` | `"train"` | `"train"`, `"validation"`, `"test"`, or `"all"`, the default of `Images-v0` |
    | `num_classes` | from labels | K, if it is larger than the labels show |
    | `canvas_size` | by id | side, or (height, width), in pixels; None: no canvas |
    | `num_clutter` | by id | number of pieces of clutter, at most 10,000 |
    | `clutter_size` | 8 | side of a piece in pixels |
    | `rotation` | 0.0 | degrees clockwise, or (lowest, highest); from -36,000 to 36,000 |
    | `zoom` | 1.0 | enlargement factor, or (lowest, highest); from 0.001 to 1000 |
    | `shift` | 0.0 | pixels to the right and, drawn independently, down, or (lowest, highest); up to a million |
    | `num_glimpses` | by id | T |
    | `patch_size` | by id | g |
    | `num_scales` | by id | k, at most 12 |
    | `first_glimpse` | `"random"` | or `"center"` |
    | `glimpse_cost` | 0.0 | subtracted from the reward for every new glimpse; up to a million |
    | `reveal_label` | False | whether `info` has the true label from the reset on |
    | `max_bytes` | 2,000,000,000 | the most memory that images read from files may take, and that all sub-envs may |
    | `actions` | `"hybrid"` | or `"discrete"`, `"multidiscrete"`, `"continuous"` |
    | `observations` | `"dict"` | or `"flat"` |
    | `grid_size` | 5 | M, at most 1000 |
    | `device` | `"cpu"` | of vector envs: NumPy arrays, or on `"torch:cpu"`, `"cuda"`, ... torch tensors |
    | `compiled` | False | of vector envs on a torch device: compile the computation of glimpses with `torch.compile` |
    | `render_mode` | None | or `"human"`, a window; `"rgb_array"`, frames; `"ansi"`, text for a terminal |

    ## Version History
    * v0: first version.
    """

    world_class = ClassificationWorld


class ClassificationVectorEnv(GlimpseVectorEnv, VectorEnv[Any, Any, np.ndarray]):
    """Vector env of :class:`ClassificationEnv`, with the same arguments."""

    world_class = ClassificationWorld
