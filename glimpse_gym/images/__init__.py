"""Images and their labels: named data sets, arrays and files, all opened as an :class:`ImageSet`."""

from glimpse_gym.images.data_files import DataError
from glimpse_gym.images.image_set import ImageSet
from glimpse_gym.images.large import LargeImages, build_pyramid_of, open_large
from glimpse_gym.images.sources import open_images

__all__ = ["DataError", "ImageSet", "LargeImages", "build_pyramid_of", "open_images", "open_large"]
