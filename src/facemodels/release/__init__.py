"""Releases the next version of a model, step by step; an interrupted release can be continued.

Modules in reading order:

plan         from the facts to the next version and the steps that make it (pure)
card         edits the version card in conf/, text to text (pure)
branch       Git's working tree and branch: what is changed, the commit, the push
dvc          runs DVC, and asks the remote which objects it lacks
frozen       keeps the version before beside the next one
merge        merges dvc.lock and params.yaml of two branches by stage and by value (pure)
rehearsal    tries what the end of a release needs, before anything is built
facts        reads what a release has to know of the repository
steps        runs the steps; each finds what is done already and does the rest

Example:
    >>> from pathlib import Path
    >>> from facemodels.registry.registry import open_registry
    >>> from facemodels.release.plan import ReleaseRequest
    >>> from facemodels.release.steps import Release
    >>> request = ReleaseRequest("recognition-facenet", "minor", "Trained on twice the people")
    >>> release = Release(open_registry(Path(".")), request)  # doctest: +SKIP
    >>> [step.name for step in release.plan().steps]  # doctest: +SKIP
    ['check', 'freeze', 'card', 'compose', 'rebuild', 'judge', 'commit', 'push', 'register']
"""
