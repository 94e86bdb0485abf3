"""How well a model predicts, and how probable its data are: cross-validation, evidence, comparison."""
