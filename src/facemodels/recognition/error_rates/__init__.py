"""Error rates of verification and identification over all faces of a test set.

`recognition.metrics` judges a list of pairs, as LFW's View 2 has it. Modules in reading order:

- `embeddings`: what embeddings must be before they are compared.
- `support`: which error rates a number of trials can show.
- `all_pairs`: FMR and FNMR over every pair of the faces, also of a resample of the people.
- `identification`: a face against a gallery: rank 1, and FNIR at FPIR with strangers.
- `groups`: accuracy, FMR and FNMR by group, and how far the groups lie apart.
"""
