"""Predict with this package: python example.py face.jpg (needs facemodels)."""

import sys
from pathlib import Path

from facemodels import imaging
from facemodels.models import predict
from facemodels.package.load import open_package

package = open_package(Path.cwd())
image = imaging.decode(Path(sys.argv[1]).read_bytes())
print(predict(package.task, package.predictor(), [image])[0])
