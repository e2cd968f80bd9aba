"""Face detection: boxes and scores of the faces in an image.

Modules in reading order:

- `task`: what every detection model gives, and the steps around a network with YOLO's output.
- `metrics`: AP of any resample of images, precision, recall, F1, recall by group.
- `coco`: AP and matching by the reference code, AP also by the size of a face.
- `batches`: training pictures with flip, scale, shift, colour and mosaic.
- `example`: the script in the model card of a package.
- `yolov8`: the architecture YOLOv8.
- `mtcnn`: the architecture MTCNN, which gives five points of each face too.
"""
