"""Nonlinear predictors: view and graph agree, derivatives by the chain rule equal PyTensor's of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bayesglmm as bg
from bayesglmm.errors import DataError, PriorError
from bayesglmm.graph.bounds import BoundedTransform
from bayesglmm.graph.compiler import INTERPRETED
from bayesglmm.graph.elementwise import Elementwise
from bayesglmm.graph.latent import LatentView

NORMAL = bg.Prior("Normal", 0.5, 1.0)
PRIORS = {"a": NORMAL, "b": NORMAL}
FAMILIES = (
    "gaussian",
    "student_t",
    "bernoulli",
    "poisson",
    "negative_binomial",
    "gamma",
    "beta",
    "binomial",
    "zero_inflated_poisson",
    "cumulative",
)
QUICK = ("bernoulli", "negative_binomial", "cumulative")
SLOW = pytest.mark.slow
RIGHT = "a * exp(-b * t)"


@pytest.fixture(scope="session")
def curve(frame: Any) -> Any:
    """Return a short way to a nonlinear model: formulas of a and b, family, and what `bg.Model` takes."""

    def run(
        a: str = "~ 1", b: str = "~ 1", family: str = "gaussian", right: str = RIGHT, others: Any = (), **given: Any
    ) -> bg.Model:
        start = given.pop("start", None)
        y = "y | trials(n)" if family == "binomial" else "y"
        text = bg.nonlinear(f"{y} ~ {right}", *others, a=a, b=b, start=start)
        slopes = {"a.fixed": NORMAL} if a.startswith(("~ x", "~ s(x")) else {}
        return bg.Model(text, frame(family), family, **({"priors": PRIORS | slopes} | given))

    return run


def agree(points: Any, model: bg.Model) -> None:
    own = points(model)
    for seed in range(2):
        x, theta = own.draw(seed)
        assert np.isfinite(own.view.log_joint(x, theta))
        assert own.view.log_joint(x, theta) == pytest.approx(own.graph(x, theta), rel=1e-9, abs=1e-7)


@pytest.mark.parametrize("family", [pytest.param(own, marks=() if own in QUICK else SLOW) for own in FAMILIES])
def test_view_and_graph_agree_for_families(family: str, curve: Any, points: Any) -> None:
    agree(points, curve("~ x + (1 | g)", "~ 1", family))


HALF = bg.Prior("HalfNormal", sigma=1)
KINDS: dict[str, Any] = {
    "group effects of both": {"a": "~ 1 + (1 + x | g)", "b": "~ 1 + (1 | h)"},
    "a smooth": {"a": "~ s(x, k=4)"},
    "a factor without a constant": {"a": "~ 0 + f"},
    "an offset": {"b": "~ 1 + offset(0.1 * z)"},
    "only group effects": {"a": "~ 0 + (1 | g)", "priors": {"b": NORMAL}},
    "sigma": {"others": ("sigma ~ z + (1 | h)",), "a": "~ 1 + (1 | g)"},
    "zi": {"family": "zero_inflated_poisson", "others": ("zi ~ x",)},
    "a positive parameter": {"priors": {"a": NORMAL, "b": HALF}},
    "bounds": {
        "a": "~ x",
        "b": "~ z",
        "priors": {
            "a": bg.Prior("TruncatedNormal", mu=1, sigma=2, lower=-1),
            "b": bg.Prior("Uniform", -2, 3),
            "a.fixed": NORMAL,
            "b.z": bg.Prior("TruncatedNormal", 0, 1, upper=2),
        },
    },
    "a share": {"priors": {"a": bg.Prior("Beta", 2, 2), "b": bg.Prior("StudentT", 3, 0, 1)}},
    "a held parameter": {"priors": {"a": NORMAL, "b": bg.Prior("Fixed", 0.3)}},
    "flat": {"priors": "flat", "start": {"a": 1.0, "b": 0.2}},
    "a power": {"right": "a * x^2 + b^t", "priors": {"a": NORMAL, "b": HALF}},
    "data alone": {"right": "a * scale(x) + inv_logit(b) * (f == 'p') + log(t)"},
    "likelihood weights": {"likelihood_weights": "w"},
    "precision weights": {"weights": "w"},
    "cloglog": {"family": "bernoulli", "link": "cloglog"},
}
LONG = ("sigma", "zi", "flat", "an offset", "a share", "precision weights", "cloglog", "a factor without a constant")


@pytest.mark.parametrize("kind", [pytest.param(own, marks=SLOW if own in LONG else ()) for own in KINDS])
def test_view_and_graph_agree_for_formulas_and_priors(kind: str, curve: Any, points: Any) -> None:
    agree(points, curve(**KINDS[kind]))


@pytest.mark.parametrize(
    "kind", ["bernoulli", "negative_binomial", pytest.param("sigma", marks=SLOW), "likelihood weights"]
)
def test_the_chain_rule_gives_the_derivatives_of_the_whole(kind: str, curve: Any) -> None:
    """PyTensor differentiates the likelihood and the expression as one; order by order and with the dispersions."""
    model = curve(**(KINDS.get(kind) or {"family": kind}))
    problem = model.problem
    own, graph = Elementwise(problem), Elementwise(problem, handwritten=False)
    rng = np.random.default_rng(1)
    etas = [rng.uniform(0.2, 1.0, len(own.y)) for _ in problem.predictors]
    phi = dict.fromkeys(problem.dispersions, 0.7)
    for order in range(3):
        ours, theirs = own(etas, phi, order), graph(etas, phi, order)
        for name in ("value", "d1", "d2", "d3", "dphi", "d1phi", "d2phi"):
            mine, other = getattr(ours, name), getattr(theirs, name)
            assert (mine is None) == (other is None)
            if mine is not None:
                np.testing.assert_allclose(mine, other, rtol=1e-8, atol=1e-9, err_msg=f"{name}, order {order}")
    # Several values of the parameters at once, as the verdict evaluates them.
    many = own.many(np.array([[eta, eta + 0.1] for eta in etas]), phi, 1)
    np.testing.assert_allclose(many.value[1], own([eta + 0.1 for eta in etas], phi).value)


def test_gradients_of_the_view_by_finite_differences(curve: Any) -> None:
    """The score and curvature in x of a model with group effects in both parameters."""
    view = LatentView(curve("~ x + (1 | g)", "~ 1 + (1 | h)").problem)
    rng = np.random.default_rng(2)
    x, theta = 0.3 * rng.normal(size=view.size), view.initial_theta
    natural = view.dispersions(view.natural(theta))
    design = view.design(theta)

    def rows(at: Any, order: int) -> Any:
        return view.elementwise([offset + A @ at for offset, A in design], natural, order)

    found = rows(x, 1)
    score = sum(A.T @ d for (_, A), d in zip(design, found.d1, strict=True))
    dense = [A.toarray() for _, A in design]
    hessian = sum(dense[p].T @ (found.d2[p, q][:, None] * dense[q]) for p in range(2) for q in range(2))
    for j, unit in enumerate(1e-5 * np.eye(view.size)):
        up, down = rows(x + unit, 1), rows(x - unit, 1)
        assert score[j] == pytest.approx((up.value.sum() - down.value.sum()) / 2e-5, rel=1e-6, abs=1e-6)
        slopes = [sum(A.T @ d for A, d in zip(dense, part.d1, strict=True)) for part in (up, down)]
        np.testing.assert_allclose(hessian[j], (slopes[0] - slopes[1]) / 2e-5, rtol=1e-5, atol=1e-4)


def test_bounds_go_to_the_whole_line_and_back() -> None:
    transform = BoundedTransform(np.array([0.0, -np.inf, -1.0, -np.inf]), np.array([np.inf, 2.0, 3.0, np.inf]))
    values = np.array([0.3, -4.0, 2.5, -7.0])
    line = transform.to_line(values)
    np.testing.assert_allclose(line, [np.log(0.3), np.log(6.0), np.log(3.5 / 0.5), -7.0])
    np.testing.assert_allclose(transform.backward(line).eval(mode=INTERPRETED), values)
    np.testing.assert_allclose(transform.forward(values).eval(mode=INTERPRETED), line)
    step = 1e-6 * np.eye(4)
    slopes = [
        (transform.backward(line + e).eval(mode=INTERPRETED) - transform.backward(line - e).eval(mode=INTERPRETED))[j]
        / 2e-6
        for j, e in enumerate(step)
    ]
    np.testing.assert_allclose(transform.log_slopes(line), np.log(np.abs(slopes)), rtol=1e-6, atol=1e-8)
    assert transform.log_jac_det(line).eval(mode=INTERPRETED) == pytest.approx(np.log(np.abs(slopes)).sum(), abs=1e-8)
    assert not np.all(np.isfinite(transform.to_line(np.array([-0.1, 0.0, 0.0, 0.0]))))


def test_names_defaults_and_starts(curve: Any) -> None:
    model = curve(
        "~ x + (1 | g)",
        "~ 1",
        priors={"a": bg.Prior("Normal", 20, 4), "a.x": bg.Prior("Normal", 0, 1), "b": HALF},
        start={"a": 17.0},
    )
    slots = {slot.label: slot for slot in model.priors}
    assert list(slots) == ["a.Intercept", "a.x", "b.Intercept", "a.sd[g, Intercept]", "sigma"]
    assert slots["a.Intercept"].start == 17.0
    assert slots["a.x"].start == 0.0
    assert slots["a.x"].source == "a.x"
    assert slots["a.x"].keys == ("a.x", "a.fixed")  # the name alone means the level of the parameter
    assert slots["a.Intercept"].keys == ("a.Intercept", "a")
    assert slots["b.Intercept"].start == pytest.approx(0.8)
    assert slots["a.sd[g, Intercept]"].prior == bg.Prior("Exponential", lam=0.25)
    assert model.problem.roles == {
        "a_beta": "fixed",
        "a_sd_g": "theta",
        "a_u_g": "spherical",
        "b_beta": "theta",
        "sigma": "theta",
    }
    view = LatentView(model.problem)
    np.testing.assert_allclose(view.start[:2], [17.0, 0.0])
    initial = model.graph.initial_point()
    assert initial["b_beta_bounded__"] == pytest.approx(np.log(0.8))


def test_a_start_for_a_factor_without_a_constant_holds_in_every_level(curve: Any) -> None:
    model = curve("~ 0 + f", start={"a": 3.0, "b": 0.1})
    assert [slot.start for slot in model.priors.coefficients["a"]] == pytest.approx([3.0] * 3)


def test_parameters_have_no_default_priors(curve: Any) -> None:
    model = curve(priors=None, start={"a": 1.0, "b": 0.1})
    assert "a.Intercept  none: give one, or fit by maximum likelihood" in str(model)
    for engine in ("nuts", "laplace", "metropolis"):
        with pytest.raises(PriorError, match=r'none for a\.Intercept, b\.Intercept\. Write priors=\{"a": bg\.Prior'):
            model.fit(engine)
    with pytest.raises(PriorError, match="none for"):
        model.prior_predictive()
    assert model.fit("laplace", objective="ml", seed=1).loglik < 0.0


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"priors": None}, PriorError, r"a\.Intercept has neither a prior with a centre nor a start value"),
        ({"a": "~ x", "priors": PRIORS}, PriorError, r'a\.x has neither .* priors=\{"a\.fixed": bg\.Prior'),
        ({"priors": "flat", "start": {"a": 1}}, PriorError, r"start=\{'b': \.\.\.\}"),
        (
            {"priors": {"a": NORMAL, "b": HALF}, "start": {"b": -1}},
            PriorError,
            r"puts b\.Intercept at -1, where its prior HalfNormal\(sigma=1\) has no mass",
        ),
        (
            {"right": "a / b", "start": {"b": 0}},
            DataError,
            r"`a / b` is inf in 24 of 24 rows at the start values \(first: row 0, where a = 0\.5, b = 0\)",
        ),
        ({"right": "a * log(x - b)"}, DataError, r"is nan in \d+ of 24 rows at the start .* x = "),
        ({"priors": PRIORS | {"theta": NORMAL}}, PriorError, "'theta' matches nothing"),
        ({"priors": PRIORS | {"a.fixed": NORMAL}}, PriorError, "'a.fixed' matches nothing"),
    ],
)
def test_bad_priors_and_starts(given: Any, error: Any, message: str, curve: Any) -> None:
    with pytest.raises(error, match=message):
        curve(**given)
