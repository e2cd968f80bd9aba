"""Sealed stages: a stage may use what dvc.yaml declares for it, and nothing else.

DVC believes dvc.yaml. It hashes the deps after a command ran, so that an edit in mid-run is
recorded as if it had been used; files that no line declares trigger nothing; and `dvc commit -f`
records any output. A sealed stage finds these (docs/sealed-stages.md):

    with sealed(sys.argv):   # in cli.guard, around every stage
        main("landmark-dlib")

Modules in reading order:

- `declaration`: what dvc.yaml declares for one stage, `foreach` and `matrix` resolved
- `digests`: files and folders digested as DVC does, and what changed between two looks
- `recording`: the hook that sees the files a process opens; child processes join it
- `record`: what a sealed run made and of what, as one of its outputs
- `code`: the list of the source files that a stage executes, which stage `code` makes
- `judgement`: what was seen against what is declared
- `run`: one sealed run of a stage
- `needs`, `lists`: the source files that a stage imports, and what dvc.yaml has of them
- `lock`: dvc.lock against the records of the runs
"""
