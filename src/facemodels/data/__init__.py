"""Datasets: finds the kind of a dataset, reads it and gives arrays by split.

Modules in reading order:

- `splits`: the arrays of a split, and their files on disk
- `pairs`: verification pairs in folds
- `problems`: files that could not be used, and the limit on their number
- `sheet`: contact sheets
- `dataset_kind`: what a kind of dataset must do; derive a new kind from it
- `sample`: the generator of faces
- `real`: steps that all kinds of real images share, from files to splits
- `kinds`: one module for each kind of dataset
- `datasets`: finds the kind of a dataset, by its name in params.yaml or by its files

Example:
    >>> from pathlib import Path
    >>> from facemodels.data.datasets import recognised
    >>> dataset = recognised(Path("data/raw/300w"), "landmarks")  # doctest: +SKIP
    >>> dataset.read(workers=2).splits["train"].points.shape  # doctest: +SKIP
    (1600, 68, 2)
"""
