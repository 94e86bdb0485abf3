"""The columns of a model as the questions about effects see them: numbers or factors, their levels and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from bayesglmm.errors import SettingsError, UnknownNameError, did_you_mean
from bayesglmm.results.covariates import used_rows
from bayesglmm.terms.columns import level_label

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit


class ModelColumns:
    """The data of a fit by column.

    Parameters
    ----------
    fit : Fit

    Attributes
    ----------
    data : DataFrame
        The rows used.
    groups : frozenset of str
        Columns that grouping factors are computed from.
    population : tuple of str
        Columns that predictions need whatever the groups, in the order of the data.
    predictors : tuple of str
        Those of `population` that are neither response nor offset: what effects can be asked of.
    """

    def __init__(self, fit: Fit) -> None:
        self.data = used_rows(fit)
        assert fit.design is not None  # used_rows has seen to that
        self._roles = fit.design.roles
        self._coding = {coding.factor: coding.levels for coding in cast(Any, fit.design).coding}
        self.groups = self._roles.groups
        self.population = tuple(str(name) for name in self.data if name in self._roles.population)
        aside = self._roles.offsets | self._roles.response
        self.predictors = tuple(name for name in self.population if name not in aside)

    def require(self, name: str, what: str) -> None:
        """Raise unless the model has the column."""
        known = [str(own) for own in self.data if own in {*self.population, *self.groups, *self._roles.response}]
        if name not in known:
            raise UnknownNameError(f"{what}: the model has no column {name!r}. {did_you_mean(str(name), known)}")

    def is_factor(self, name: str) -> bool:
        """Return whether the model codes a column by levels, or its values are no numbers."""
        values = self.data[name]
        number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        return not number or name in self._roles.factors

    def levels(self, name: str) -> list[Any]:
        """Return the values of a factor in the order of its levels: the reference comes first."""
        values = self.data[name]
        by_label = {level_label(value): value for value in pd.unique(values.dropna())}
        if name in self._coding:
            order = [label for label in self._coding[name] if label in by_label]
        elif isinstance(values.dtype, pd.CategoricalDtype):
            order = [level_label(value) for value in values.dtype.categories if level_label(value) in by_label]
        elif pd.api.types.is_numeric_dtype(values):
            return sorted(by_label.values())
        else:
            order = sorted(by_label)
        return [by_label[label] for label in order]

    def numbers(self, name: str) -> Any:
        """Return the values of a numeric column."""
        return self.data[name].to_numpy(dtype=float)

    def distinct(self, name: str) -> list[Any]:
        """Return the distinct values of a column, in order."""
        return self.levels(name) if self.is_factor(name) else sorted(pd.unique(self.data[name]).tolist())

    def reference(self, name: str, word: str) -> Any:
        """Return the value at which a column is held: the mean (median) of numbers, the most frequent level."""
        values = self.data[name]
        if self.is_factor(name) or len(self.distinct(name)) <= 2:  # between two values there is no row
            return values.mode().iloc[0]
        return float(values.median() if word == "medians" else values.mean())

    def column(self, name: str, values: Any) -> pd.Series[Any]:
        """Return values as a column of the type that the data have."""
        dtype = self.data[name].dtype
        if isinstance(dtype, pd.CategoricalDtype):
            return pd.Series(pd.Categorical(list(values), dtype=dtype))
        return pd.Series(list(values))

    def checked(self, name: str, given: list[Any]) -> list[Any]:
        """Return values that a user gave: of a factor the levels that they name.

        Raises
        ------
        SettingsError
            For levels that the factor does not have, and for what is no number.
        """
        if not self.is_factor(name):
            for value in given:
                if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
                    raise SettingsError(f"{name}={value!r}: {name!r} holds numbers.")
                if not np.isfinite(value):
                    raise SettingsError(f"{name}={value!r}: values are finite.")
            return given
        by_label = {level_label(value): value for value in self.levels(name)}
        unseen = name in self.groups and name not in self.population  # `groups` decides what such a level means
        for value in given:
            if level_label(value) not in by_label and not unseen:
                raise SettingsError(f"{name!r} has no level {value!r}. {did_you_mean(level_label(value), by_label)}")
        return [by_label.get(level_label(value), value) for value in given]
