"""Generated faces: sample data that anyone can have, drawn from random numbers.

Modules in reading order:

- `canvas`: the texture that a face is painted on, and its brushes
- `identity`: what stays the same over the images of a person
- `nuisance`: what changes between them: pose, expression, light, camera
- `geometry`: outline of the head and the 68 landmarks
- `shading`: the face as a surface, and the light on it
- `skin`, `hair`, `features`: the parts of a face
- `render`: a face from the front
- `placement`: a face turned by its pose and put into an image
- `scene`: whole images with background, people and camera
- `generate`: splits, drawn in parallel

Example:
    >>> from facemodels.data.sample.generate import landmark_split
    >>> landmark_split("test", seed=1, faces=2, image_size=64, workers=1).points.shape
    (2, 68, 2)
"""
