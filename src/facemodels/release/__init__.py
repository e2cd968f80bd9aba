"""The whole act of releasing a model, step by step, to be resumed at any of them."""
