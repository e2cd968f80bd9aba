"""Stores of objects by their digests: the DVC cache, the remotes and the backup.

In reading order:

- `object_store`: `ObjectStore` reads and writes objects by id in one store
- `object_info`: what a store says of an object without sending its bytes
- `stores`: the stores of a repository, opened by name; work in threads
- `objects`: the objects that a registered version is made of
- `proof`: whether an object is what its name says, with a ledger of earlier proofs
- `named_files`: files beside the objects, by name: archives, bundles, manifests
- `probe`: whether a store can be reached, and why not
- `errors`, `retries`: errors of stores, and repeated calls to one that is away

Example, in a repository with a default remote:

    from pathlib import Path
    from facemodels.storage.stores.stores import Stores

    stores = Stores(Path.cwd())
    remote = stores.remote()
    print(remote.url, sum(remote.sizes().values()), "bytes")
    damaged = [oid for oid in remote.sizes() if not remote.is_whole(oid)]
"""
