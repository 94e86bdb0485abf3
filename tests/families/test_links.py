"""Links: inverses, stable logarithms in both vocabularies, and jets against PyTensor's derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from scipy import special

from bayesglmm.arraymath import NUMPY, pytensor_math
from bayesglmm.links import LINKS

PY = Mode(linker="py", optimizer="merge")
UNIT = [link.name for link in LINKS if link.domain == "unit"]
ETA = np.concatenate([np.linspace(-30, 30, 61), [-1e-3, 1e-3, 0.02, -0.02]])
T = np.exp(ETA)
LOG_P = {
    "logit": special.log_expit(ETA),
    "probit": special.log_ndtr(ETA),
    "cloglog": np.where(T > 1, np.log1p(-np.exp(-T)), np.log(-np.expm1(-T))),
    "loglog": -np.exp(-ETA),
    "cauchit": np.log(np.arctan2(1.0, -ETA) / np.pi),
}
LOG_Q = {
    "logit": special.log_expit(-ETA),
    "probit": special.log_ndtr(-ETA),
    "cloglog": -T,
    "loglog": LOG_P["cloglog"][np.concatenate([np.arange(61)[::-1], [62, 61, 64, 63]])],
    "cauchit": np.log(np.arctan2(1.0, ETA) / np.pi),
}


def grid(link: Any) -> Any:
    return ETA if link.domain != "positive" or link.name in ("log", "softplus") else np.abs(ETA) + 0.01


@pytest.mark.parametrize("name", LINKS.names())
def test_the_link_inverts_the_inverse(name: str) -> None:
    link = LINKS.get(name)
    eta = np.linspace(0.2, 2.5, 9) if link.domain == "positive" else np.linspace(-2.5, 2.5, 9)
    np.testing.assert_allclose(link.link(link.inverse(eta, NUMPY), NUMPY), eta, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", UNIT)
def test_logarithms_of_probabilities_are_accurate_in_both_tails(name: str) -> None:
    link, x = LINKS.get(name), pt.dvector("x")
    methods = (link.log_inverse, link.log1m_inverse, link.logit_inverse)
    symbols = pytensor.function([x], [f(x, pytensor_math()) for f in methods], mode=PY)(ETA)
    expected = (LOG_P[name], LOG_Q[name], LOG_P[name] - LOG_Q[name])
    for f, symbolic, wanted in zip(methods, symbols, expected, strict=True):
        np.testing.assert_allclose(f(ETA, NUMPY), wanted, rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(symbolic, wanted, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("name", LINKS.names())
def test_jets_are_the_derivatives(name: str) -> None:
    link, x, xp = LINKS.get(name), pt.dvector("x"), pytensor_math()
    eta = grid(link)
    pairs = [(link.inverse(x, xp), link.inverse_jet(eta))]
    if link.domain == "unit":
        pairs += zip((link.log_inverse(x, xp), link.log1m_inverse(x, xp)), link.log_jets(eta), strict=True)
        for jet, alone in zip(link.log_jets(eta), link.log_values(eta), strict=True):
            np.testing.assert_allclose(alone, jet.value, rtol=1e-14)
    elif link.domain == "positive":
        pairs.append((link.log_inverse(x, xp), link.log_jet(eta)))
    for symbol, jet in pairs:
        graph = [symbol]
        for _ in range(3):
            graph.append(pt.grad(graph[-1].sum(), x, disconnected_inputs="ignore"))
        values = pytensor.function([x], graph, mode=PY, on_unused_input="ignore")(eta)
        size = sum(np.abs(v) for v in values)
        for value, ours in zip(values, jet[:4], strict=True):
            assert np.all(np.isfinite(value))
            assert np.all(np.abs(ours - value) <= 1e-9 * np.abs(value) + 1e-9 * size + 1e-300)


def test_identity_has_the_log_of_a_plain_value() -> None:
    jet = LINKS.get("identity").log_jet(np.array([0.5, 2.0]))
    np.testing.assert_allclose(jet.value, np.log([0.5, 2.0]))
    np.testing.assert_allclose(jet.d3, [16.0, 0.25])


def test_other_spellings_and_nearest_names() -> None:
    assert LINKS.get("logistic").name == "logit"
    assert LINKS.get("reciprocal").name == "inverse"
    with pytest.raises(ValueError, match="Did you mean 'cloglog'"):
        LINKS.get("clogog")


def test_softplus_is_a_function_of_numpy_arrays_without_a_compiler() -> None:
    """PyTensor's own calls Python for every number in this mode: zero-inflated counts took three times as long."""
    x = pt.vector("x")
    out = pytensor_math().softplus(x)
    assert out.owner.op.nfunc is special.softplus
    at = np.array([-800.0, -40.0, -1.0, 0.0, 1.0, 20.0, 800.0])
    assert np.allclose(pytensor.function([x], out, mode=PY)(at), np.logaddexp(0.0, at), rtol=1e-15, atol=0)
    slope = pytensor.function([x], pt.grad(out.sum(), x), mode=PY)(at)
    assert np.allclose(slope, special.expit(at), rtol=1e-14)
