"""A short way from text and columns to a design."""

import pytest

from bayesglmm.design import bind
from bayesglmm.families.base import FAMILIES, Family, FamilyParameter
from bayesglmm.formula import parse


class Ordinal(Family):
    """Stands for a family with cutpoints."""

    name = "an ordinal family"
    parameters = (
        FamilyParameter("mu", "real", "identity"),
        FamilyParameter("disc", "positive", "log"),
        FamilyParameter("cutpoints", "real", "identity", ordered=True),
    )
    response = "ordinal"
    intercept = False
    discrete = True

    def check(self, response):
        pass

    def dist(self, parameters, data):
        raise AssertionError("no distribution is needed here")

    def mean(self, parameters, data, xp):
        raise AssertionError("no mean is needed here")


class Nominal(Ordinal):
    """Stands for a family with one predictor per category but the first."""

    name = "a nominal family"
    parameters = (FamilyParameter("mu", "real", "identity"),)
    response = "nominal"
    intercept = True

    def main_predictors(self, response):
        return tuple(f"mu_{category}" for category in response.categories[1:])


STAND_INS = {"ordinal": Ordinal(), "nominal": Nominal()}


@pytest.fixture
def design():
    def run(formula, data, family="gaussian", **arguments):
        chosen = STAND_INS.get(family) or FAMILIES.get(family)
        return bind(parse(formula), data, chosen, **arguments)

    return run
