"""Images: decode with limits, resize, letterbox, crop. One code for training and serving.

An image is uint8 (H, W, 3), RGB. Two frames of coordinates are in use, half a pixel apart,
and every function says which one it takes:

    edges    boxes: (0, 0) is the outer corner of the first pixel, (W, H) of the last
    centres  points: (0, 0) is the centre of the first pixel; edges = centres + 0.5

Modules in reading order:

- `arrays`: what an image is, and `ImageError`
- `colour`: any mode and any ICC profile to sRGB
- `decoding_cost`: how much memory decoding takes
- `decoding`: bytes or a file to an image
- `photo`: a decoded picture that may be smaller than its file, and coordinates in both
- `geometry`: resize, letterbox, crop
- `align`: a face turned and scaled so that its points lie where a template has them
- `crops`: the crops of faces that recognition models take, by name
- `choice`: which face of an image is meant
- `face_boxes`: the box of a face that landmark models take, and that box by 68 points

Example:
    >>> import numpy as np
    >>> from facemodels import imaging
    >>> square, scale, pad_x, pad_y = imaging.letterbox(np.zeros((90, 120, 3), np.uint8), 60)
    >>> square.shape, scale, pad_x, pad_y
    ((60, 60, 3), 0.5, 0.0, 7.0)
"""

from facemodels.imaging.align import five_points, similarity, warp
from facemodels.imaging.arrays import EXTENSIONS, FORMATS, MAX_PIXELS, ImageError, as_rgb
from facemodels.imaging.choice import Choice, chosen
from facemodels.imaging.crops import CROPS, Crop, crop_named
from facemodels.imaging.decoding import (
    MAX_BYTES,
    EncodedImage,
    decode,
    image_size,
    orientation,
)
from facemodels.imaging.face_boxes import face_box, points_box
from facemodels.imaging.geometry import (
    LETTERBOX_FILL,
    crop,
    letterbox,
    resize,
    unletterbox_boxes,
)
from facemodels.imaging.photo import Photo

__all__ = [
    "CROPS",
    "EXTENSIONS",
    "FORMATS",
    "LETTERBOX_FILL",
    "MAX_BYTES",
    "MAX_PIXELS",
    "Choice",
    "Crop",
    "EncodedImage",
    "ImageError",
    "Photo",
    "as_rgb",
    "chosen",
    "crop",
    "crop_named",
    "decode",
    "face_box",
    "five_points",
    "image_size",
    "letterbox",
    "orientation",
    "points_box",
    "resize",
    "similarity",
    "unletterbox_boxes",
    "warp",
]
