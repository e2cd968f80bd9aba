"""The steps behind a detector's one graph that others made: its numbers to faces.

Each module has a `decode` that `detection.task.served_graphs` finds by the name in config.yaml:

- `heads`: what all of them share: a picture to the input, candidates to faces
- `scrfd`: distances from anchor points at several strides (SCRFD, RetinaFace of InsightFace)
- `retinaface`: offsets from prior boxes with variances (SSD's way; Pytorch_Retinaface)
- `yolov8`: boxes in pixels, with points if it has some (YOLOv8, YOLOv8-pose)

They need NumPy and the run of the graph, and read no framework's file.
"""
