"""Numerical pieces that several engines share; none of them knows PyMC."""
