"""The commands of `ipmodel` that use models: `predict` and `package`."""
