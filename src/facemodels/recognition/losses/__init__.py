"""What an embedding learns from: losses over classes (people) and over triplets.

`settings` has the hyperparameters of each loss and `heads` makes one by its name. Those that
pytorch-metric-learning has are its own; `adaface`, `magface` and `triplets` are ours.

`distillation` has no classes: its head takes the teacher's embeddings (N, D) in their place.
`influence` puts a term beside any loss over people, for a network that keeps an older one's space.
`sampled` shows any loss over class weights a sample of the people (`losses.sample_rate`).

A head is a module with `forward(features, classes)`: float32 (N, D) of any length, as the
network gives them, and int64 (N,) in 0..C-1, to a scalar. Its class weights, (D, C), are
trained and part of a checkpoint; model.pt does not have them.
"""
