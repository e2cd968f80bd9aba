"""Where weights are kept: object stores, their integrity, retention and backups.

In reading order, lowest layer first:

- `stores`: the object stores (DVC's cache and remotes) and files by name beside the objects
- `retention`: which versions stay, archives of the others, restoration
- `backup`: a second copy of everything that was released, and a drill that rebuilds from it
- `sync`: push, pull and audit the objects of released versions
- `remotes`: sets the remotes up, examines them, and prints the rights that they need

Each package has a runnable example in its docstring. docs/storage.md is the guide for operators.
"""
