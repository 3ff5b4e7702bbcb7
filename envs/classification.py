"""Classification: an image is a world, looked at a few glimpses at a time, and then named."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from glimpse_gym.clutter import Canvases, Range, Warp
from glimpse_gym.env import GlimpseEnv
from glimpse_gym.images.sources import open_images
from glimpse_gym.retina import Retina
from glimpse_gym.validation import check_choice, check_integer, check_number
from glimpse_gym.vector import GlimpseVectorEnv
from glimpse_gym.world import Action, Outcome, World, scaled

# Columns of an episode's random numbers.
_IMAGE, _LOCATION, _CANVAS = 0, slice(1, 3), slice(3, None)


class ClassificationWorld(World):
    """The rules of classification for B images; see :class:`ClassificationEnv` for what the arguments mean."""

    choice_name: ClassVar[str] = "label"
    choice_ends: ClassVar[bool] = True
    image_moves: ClassVar[bool] = False
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
    ) -> None:
        self.images = open_images(images, labels, split=split, num_classes=num_classes)
        warp = Warp(rotation, zoom, shift)
        num_clutter = check_integer("num_clutter", num_clutter, at_least=0)
        clutter_size = check_integer("clutter_size", clutter_size, at_least=1)
        self.canvases: Canvases | None = None  # every image is looked at where it lies, as it is
        if canvas_size is not None or num_clutter or not warp.changes_nothing:
            self.canvases = Canvases(num_rows, self.images, canvas_size, num_clutter, clutter_size, warp)
        super().__init__(
            num_rows,
            Retina(patch_size, num_scales),
            num_channels=self.images.num_channels,
            horizon=check_integer("num_glimpses", num_glimpses, at_least=1),
            num_choices=self.images.num_classes,
            num_draws=3 + (self.canvases.num_draws if self.canvases else 0),
        )
        self.first_glimpse = check_choice("first_glimpse", first_glimpse, ("random", "center"))
        self.glimpse_cost = check_number("glimpse_cost", glimpse_cost)
        self.reveal_label = check_choice("reveal_label", reveal_label, (True, False))
        self.image_index = np.zeros(num_rows, np.int64)
        self.labels = np.zeros(num_rows, np.int64)
        self._last_action: Action | None = None
        self._sizes_differ = bool((self.images.sizes != self.images.sizes[0]).any())
        self.sizes[:] = self.images.sizes[0]
        if self.canvases:
            height, width = self.canvases.pixels.shape[1:3]
            self.offsets[:] = np.arange(num_rows) * (height * width * self.num_channels)
            self.sizes[:] = height, width

    @property
    def _pixels(self) -> np.ndarray:
        # Without a canvas images are looked at where they lie; _begin chooses which.
        return self.canvases.pixels.reshape(-1) if self.canvases else self.images.pixels

    def check_options(self, options: dict[str, Any], num_rows: int) -> dict[str, Any]:
        """See :meth:`World.check_options`. ``image_index`` is one index for all rows, or an array of one per row."""
        options = super().check_options(options, num_rows)
        if "image_index" not in options:
            return {}
        number = len(self.images)
        try:
            index = np.asarray(options["image_index"])
        except ValueError:  # rows of several lengths
            index = np.zeros(0)
        if index.dtype.kind not in "iu" or index.shape not in ((), (num_rows,)):
            raise ValueError(
                f"image_index must be an integer, or an integer array with one for each of the {num_rows} rows; "
                f"got {options['image_index']!r:.200}"
            )
        if ((index < 0) | (index >= number)).any():
            raise ValueError(
                f"image_index must be from 0 to {number - 1}: the split has {number} images; "
                f"got {options['image_index']!r:.200}"
            )
        return {"image_index": np.broadcast_to(index.astype(np.int64), (num_rows,))}

    def _begin(self, rows: np.ndarray, draws: np.ndarray, image_index: np.ndarray | None = None) -> None:
        if image_index is None:
            image_index = scaled(draws[:, _IMAGE], len(self.images))
        self.image_index[rows] = image_index
        self.labels[rows] = self.images.labels[image_index]
        self.locations[rows] = 0.0 if self.first_glimpse == "center" else 2 * draws[:, _LOCATION] - 1
        if self.canvases:
            self.canvases.compose(rows, image_index, draws[:, _CANVAS])
        else:
            self.offsets[rows] = self.images.offsets[image_index]
            if self._sizes_differ:
                self.sizes[rows] = self.images.sizes[image_index]

    def _play(self, action: Action, active: np.ndarray) -> Outcome:
        # An answer ends the episode, and so does the last step. Where nothing says which choices are answers,
        # those of the last step are.
        ended = (self.steps >= self.horizon) & active
        answers = ended
        if action.commits is not None:
            answers = action.commits & active
            ended = ended | answers
        looks = active ^ ended
        np.copyto(self.locations, action.location, where=looks[:, None])
        self._last_action = action
        reward = (answers & (action.choice == self.labels)).astype(np.float64)
        if self.glimpse_cost:
            reward -= self.glimpse_cost * looks
        return Outcome(reward, ended)

    def begin_info(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Which image it is, and its label only where the world was asked to reveal it."""
        info = {"image_index": self.image_index[rows]}
        if self.reveal_label:
            info["label"] = self.labels[rows]
        return info

    def end_info(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The label, what was answered (-1: nothing), and whether that is right."""
        action = self._last_action
        assert action is not None
        choice = action.choice if action.commits is None else np.where(action.commits, action.choice, -1)
        label, prediction = self.labels[rows], choice[rows]
        return {"label": label, "prediction": prediction, "correct": label == prediction}


class ClassificationEnv(GlimpseEnv):
    """Look at an image a few glimpses at a time, then say what it is.

    ## Description
    The classification tasks of section 4.1 of Mnih et al., "Recurrent Models of Visual Attention", 2014. The agent
    never sees the image, only what a retina of limited width senses at one location: sharp in the middle, coarser
    around. At every step it chooses where to look next; at the last one it names the image.

    On a canvas (`canvas_size`) the image lies at a uniform place, wholly inside. Each of `num_clutter` pieces of
    clutter is a square of `clutter_size` pixels, cut at a uniform place out of another image of the same split, and
    added at a uniform place, wholly inside, the sum clipped at 255.

    The image may be warped about its center, within its own frame, before it is placed: turned (`rotation`), enlarged
    (`zoom`) and shifted (`shift`), each by a number, or by one drawn uniformly from a range for every episode.

    ## Action Space
    K is the number of classes, T = `num_glimpses`, M = `grid_size`.

    `actions="hybrid"`: `Dict(location=Box(-1, 1, (2,), float32), label=Discrete(K))`.

    | key | meaning |
    | --- | --- |
    | `location` | where to look next: x to the right, y down, (0, 0) the image's center; clipped to [-1, 1] |
    | `label` | what it is; ignored but at step T |

    `actions="discrete"`: `Discrete(M*M + K)`: a < M*M looks at the center of cell a of an M x M grid, counted row by
    row; a >= M*M answers class a - M*M and ends the episode at once.
    `actions="multidiscrete"`: `MultiDiscrete([M*M, K])`, a cell and a label, the last label judged.

    ## Observation Space
    A `Dict`, for g = `patch_size`, k = `num_scales`, C channels (1 for gray images):

    | key | dtype | shape | range | meaning |
    | --- | --- | --- | --- | --- |
    | `glimpse` | float32 | (k*C, g, g) | 0 to 1 | what the retina sees, finest scale first |
    | `location` | float32 | (2,) | -1 to 1 | where it was taken |
    | `time` | float32 | (1,) | 0 to 1 | steps taken / T |

    The observation of the last step repeats the last glimpse.

    ## Rewards
    1.0 for the right label, else 0.0, at the end; 0.0 before. `glimpse_cost` is subtracted for every look that
    brings a glimpse.

    ## Starting State
    A uniformly drawn image of the split, or the one asked for: `reset(options={"image_index": i})`. The first glimpse
    is at a uniformly random location, or at the center.

    ## Episode End
    `terminated` at step T: steps 1 to T-1 bring glimpses 2 to T, step T judges the label. In the discrete form an
    answer ends the episode earlier, and a look at step T ends it with reward 0: no glimpse is left to take.

    ## Info
    At reset `image_index`, which image of the split it is, in file order. At the end `label`, `prediction` (-1 where
    there was no answer) and `correct`; never before.

    ## Arguments
    | name | default | meaning |
    | --- | --- | --- |
    | `images`, `labels` | by id | `"mnist"`, `"fashion-mnist"`, arrays, paths; see `glimpse_gym.images.sources.open_images` |
    | `split` | `"train"` | `"train"`, `"validation"`, `"test"`, or `"all"`, the default with one's own images |
    | `num_classes` | found | K, where it is more than the labels show |
    | `canvas_size` | by id | side, or (height, width), in pixels; None: the image itself |
    | `num_clutter` | by id | pieces of clutter |
    | `clutter_size` | 8 | side of a piece in pixels |
    | `rotation` | 0.0 | degrees clockwise, or (lowest, highest) |
    | `zoom` | 1.0 | factor by which the image is enlarged, or (smallest, largest) |
    | `shift` | 0.0 | pixels to the right and, drawn apart, downwards, or (lowest, highest) |
    | `num_glimpses` | by id | T |
    | `patch_size` | by id | g |
    | `num_scales` | by id | k |
    | `first_glimpse` | `"random"` | or `"center"` |
    | `glimpse_cost` | 0.0 | subtracted from the reward for every look that brings a glimpse |
    | `reveal_label` | False | whether reset's `info` holds `label` |
    | `actions` | `"hybrid"` | or `"discrete"`, `"multidiscrete"` |
    | `grid_size` | 5 | M |
    | `render_mode` | None | or `"rgb_array"` |

    ## Version History
    * v0: first version.
    """

    world_class = ClassificationWorld


class ClassificationVectorEnv(GlimpseVectorEnv):
    """Many episodes of :class:`ClassificationEnv` at once, with the same arguments; see there."""

    world_class = ClassificationWorld
