"""Fit 68 points with this package alone: python example.py face.jpg [x0 y0 x1 y1]."""

import sys

import dlib
import numpy as np
from PIL import Image, ImageOps

predictor = dlib.shape_predictor("model.dat")
image = np.asarray(ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB"))
height, width = image.shape[:2]
# Without a detector's box, take a face that fills the middle of the image.
box = [int(v) for v in sys.argv[2:6]] or [width // 5, height // 5, width * 4 // 5, height * 4 // 5]
shape = predictor(image, dlib.rectangle(*box))
for index in range(shape.num_parts):
    print(index, shape.part(index).x, shape.part(index).y)
