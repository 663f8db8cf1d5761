"""Partial pooling of regression coefficients: product in a tier → product → group → all, by empirical Bayes.

Information matrices in, posterior means and variances out; nothing here knows what a column means.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

LEAST = 1e-5
ROUNDS = 12
_START = 0.3


@dataclass(frozen=True)
class Tree:
    """Which product a unit (a product in a tier) belongs to, and which group a product."""

    product_of: Ints
    group_of: Ints
    groups: int

    @property
    def products(self) -> int:
        """Number of products."""
        return len(self.group_of)

    @property
    def is_single(self) -> Bools:
        """Units that are the only one of their product: what differs is then between products, not within."""
        tiers: Ints = np.bincount(self.product_of, minlength=self.products)
        found: Bools = tiers[self.product_of] == 1
        return found


@dataclass(frozen=True)
class Pooled:
    """Posterior means (… × columns) and variances of each column, by level; spreads between the members of a level."""

    unit: Floats
    unit_variance: Floats
    product: Floats
    product_variance: Floats
    group: Floats
    group_variance: Floats
    overall: Floats
    overall_variance: Floats
    within: Floats
    between: Floats
    among: Floats
    product_information: Floats
    product_score: Floats


def pool(
    information: Floats,
    score: Floats,
    tree: Tree,
    effect: Floats,
    *,
    prior_mean: Floats,
    prior_sd: Floats,
    centred: Sequence[bool],
    floor: Floats,
    rounds: int = ROUNDS,
    start: "Pooled | None" = None,
) -> Pooled:
    """Coefficients of all units at once, each drawn towards its parents as far as its own evidence is weak.

    A hierarchical linear model b_unit ~ N(b_product, T_1), b_product ~ N(b_group, T_2), b_group ~ N(b_all, T_3) with
    diagonal T, fitted by expectation and maximization (Dempster, Rubin & Tsutakawa 1981; Gelman & Hill 2007, ch. 12-13).
    `information` is units × columns × columns, `score` units × columns, both divided by the dispersion; `effect` by
    product is how many times less its units together tell than if they were independent (Kish 1965), since they share
    the weeks. Columns that are `centred` have mean zero above the product. `floor` is the least variance of each column.
    The spreads begin at those of `start`, and `rounds` steps are made.
    """
    columns = score.shape[1]
    if not len(score):
        return _prior_alone(prior_mean, prior_sd, floor)
    if start is None:
        within, between, among = (np.maximum(np.full(columns, _START), floor) for _ in range(3))
    else:
        within, between, among = start.within, start.between, start.among
    is_centred = np.array(centred)
    prior = np.where(is_centred, 0.0, prior_mean)
    top = np.where(is_centred, 1e-12, prior_sd**2)
    several = None if tree.is_single.all() else ~tree.is_single
    if tree.groups == 1:
        among = np.full(columns, LEAST**2)  # one group is all there is
    for number in range(rounds):
        own = np.where(tree.is_single[:, None], 0.0, within)
        j1, h1 = (information, score) if several is None else _message(information, score, own)
        j2 = _summed(j1, tree.product_of, tree.products) / effect[:, None, None]
        h2 = _summed(h1, tree.product_of, tree.products) / effect[:, None]
        j3, h3 = _message(j2, h2, between)
        j3, h3 = _summed(j3, tree.group_of, tree.groups), _summed(h3, tree.group_of, tree.groups)
        j4, h4 = _message(j3, h3, among)
        overall, overall_cov = _posterior(j4.sum(axis=0)[None], h4.sum(axis=0)[None], prior, top)
        group, group_cov = _posterior(j3, h3, np.repeat(overall, tree.groups, axis=0), among)
        product, product_cov = _posterior(j2, h2, group[tree.group_of], between)
        parent = product[tree.product_of]
        unit, unit_cov = parent, product_cov[tree.product_of]
        if several is not None:
            unit, unit_cov = _posterior(information, score, parent, np.maximum(own, LEAST**2))
        if number == rounds - 1:
            break
        if several is not None:
            within = np.maximum(_spread(unit[several], parent[several], unit_cov[several]), floor)
        between = np.maximum(_spread(product, group[tree.group_of], product_cov), floor)
        # One mean for all that are centred: each alone has too few members to tell its spread by.
        between = np.where(is_centred, between[is_centred].mean() if is_centred.any() else 0.0, between)
        if tree.groups > 1:
            among = np.where(is_centred, LEAST**2, np.maximum(_spread(group, overall, group_cov), floor))
    overall_variance = _diagonal(overall_cov)[0]
    group_variance = _with_parent(group_cov, among, np.broadcast_to(overall_variance, group.shape))
    product_variance = _with_parent(product_cov, between, group_variance[tree.group_of])
    return Pooled(
        unit=unit,
        unit_variance=np.where(
            tree.is_single[:, None], product_variance[tree.product_of],
            _with_parent(unit_cov, within, product_variance[tree.product_of]),
        ),
        product=product, product_variance=product_variance,
        group=group, group_variance=group_variance,
        overall=overall[0], overall_variance=overall_variance,
        within=within, between=between, among=among, product_information=j2, product_score=h2,
    )  # fmt: skip


def _prior_alone(mean: Floats, sd: Floats, floor: Floats) -> Pooled:
    """What is known before any product has something to tell."""
    none, spread = np.zeros((0, len(mean))), np.maximum(np.full(len(mean), _START), floor)
    return Pooled(
        unit=none, unit_variance=none, product=none, product_variance=none, group=none, group_variance=none,
        overall=mean, overall_variance=sd**2, within=spread, between=spread, among=spread,
        product_information=np.zeros((0, len(mean), len(mean))), product_score=none,
    )  # fmt: skip


def _message(information: Floats, score: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """What members tell about their parent's mean: (I + J·T)⁻¹·J and (I + J·T)⁻¹·h."""
    spread = np.broadcast_to(variance, score.shape)
    mixed = np.eye(score.shape[1]) + information * spread[:, None, :]
    both = np.concatenate([information, score[:, :, None]], axis=2)
    found = np.linalg.solve(mixed, both)
    return found[:, :, :-1], found[:, :, -1]


def _posterior(information: Floats, score: Floats, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Posterior means and covariances under a normal prior with a diagonal variance."""
    precision = 1 / np.broadcast_to(variance, score.shape)
    total = information + precision[:, :, None] * np.eye(score.shape[1])
    covariance = np.asarray(np.linalg.inv(total), dtype=np.float64)
    return np.einsum("nij,nj->ni", covariance, score + precision * mean), covariance


def _spread(members: Floats, centre: Floats, covariance: Floats) -> Floats:
    found: Floats = ((members - centre) ** 2 + _diagonal(covariance)).mean(axis=0)
    return found


def _with_parent(covariance: Floats, variance: Floats, parent: Floats) -> Floats:
    """A column's posterior variance with its parent's own: v + (v / T)²·v_parent."""
    own = _diagonal(covariance)
    return own + np.minimum(own / variance, 1.0) ** 2 * parent


def _diagonal(covariance: Floats) -> Floats:
    found: Floats = np.einsum("nii->ni", covariance)
    return found


def _summed(values: Floats, owner: Ints, owners: int) -> Floats:
    total = np.zeros((owners, *values.shape[1:]))
    np.add.at(total, owner, values)
    return total
