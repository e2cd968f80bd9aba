"""Backup: a second copy of everything that was released, and a test that it is enough.

In reading order:

- `create`: makes a backup, in an order that may be stopped at any moment
- `mirror`: copies objects and archives that are missing or damaged in the backup
- `bundle`: the Git bundle with every ref
- `manifest`: the documents that say what belongs together
- `drill`: rebuilds a clone from the backup alone and runs what is in production
- `report`: what is asked of a backup, and what it did

Example, in a repository with the remotes `storage` and `backup`:

    from pathlib import Path
    from facemodels.storage.backup.create import back_up
    from facemodels.storage.backup.report import BackupRequest

    print("\\n".join(back_up(Path.cwd(), BackupRequest(dry_run=True)).lines()))
"""
