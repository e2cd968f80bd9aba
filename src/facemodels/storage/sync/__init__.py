"""Push, pull and audit the objects of released versions, and prove each by its digest.

In reading order:

- `push`: sends what a remote lacks or has damaged, and proves every object there
- `pull`: fetches objects into the cache, from whichever remote has them whole
- `audit`: reads the cache and the remotes again, and repairs what is missing or corrupt
- `archives`: the same for the archives of versions
- `documents`: reads the pointer, the manifest and the bundle of a backup
- `workspace`: data of the working tree that a remote lacks
- `findings`: what an audit finds

Example, in a repository with a default remote:

    from pathlib import Path
    from facemodels.git import Git
    from facemodels.registry.reading import read_events
    from facemodels.registry.state import fold
    from facemodels.storage.stores.stores import Stores
    from facemodels.storage.sync.push import push

    root = Path.cwd()
    report = push(Stores(root), fold(read_events(Git(root))), dry_run=True)
    print(report.missing, report.repaired)
"""
