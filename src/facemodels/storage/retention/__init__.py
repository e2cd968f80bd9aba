"""Retention: which versions stay at hand, and archives of the others.

In reading order:

- `settings`: conf/retention.yaml
- `plan`: decides which versions stay and which objects may go; pure
- `survey`: reads what the plan needs from the registry, the stores, Git and the working tree
- `reachable`, `git_files`: the objects that Git's revisions need besides
- `apply`: carries the plan out; archives first, deletions last
- `restore`: brings the objects of a version back
- `archive_store`, `archive`: the archives in a remote, and the file format
- `version_files`: the objects of one version as checked files
- `context`: the clone and the remote that all of this works on

Example, in a repository with a default remote:

    from pathlib import Path
    from facemodels.registry.registry import open_registry
    from facemodels.storage.retention.apply import RetentionRun
    from facemodels.storage.retention.context import RetentionContext
    from facemodels.storage.retention.settings import load
    from facemodels.storage.stores.stores import open_store

    root = Path.cwd()
    stores = open_store(root, "cache"), open_store(root)
    context = RetentionContext(open_registry(root), load(root), *stores)
    for decision in RetentionRun(context).survey().plan.decisions:
        print(decision.id, decision.action, decision.reason)
"""
