"""Fit 68 points with this package alone: python example.py face.jpg [x0 y0 x1 y1]."""

import sys

import dlib
import numpy as np

from facemodels.imaging.picture import upright

predictor = dlib.shape_predictor("model.dat")
image = np.array(upright(sys.argv[1]))
height, width = image.shape[:2]
# A box reaches from the hairline to the chin; without one, the face fills the image. dlib's boxes
# are whole pixels.
box = [round(float(v)) for v in sys.argv[2:6]] or [0, 0, width, height]
shape = predictor(image, dlib.rectangle(*box))
for index in range(shape.num_parts):
    print(index, shape.part(index).x, shape.part(index).y)
