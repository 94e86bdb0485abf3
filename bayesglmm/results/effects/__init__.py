"""What follows from a model for the response: predictions on grids, comparisons, slopes, marginal means, hypotheses.

One grid builder makes rows; one evaluator turns rows into draws of predictions, averaged as asked; each question
combines these draws, and every answer is a table that says what was asked.
"""
