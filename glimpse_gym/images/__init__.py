"""Images and their labels: named data sets, arrays, and files, all opened as one :class:`ImageSet`."""

from glimpse_gym.images.sources import ImageSet, open_images

__all__ = ["ImageSet", "open_images"]
