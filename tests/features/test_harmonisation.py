"""ComBat: the published estimates, fitted on training lesions alone, and what passes through."""

import numpy as np
import pytest

from bcbm.features.harmonisation import apply_combat, fit_combat

# neuroCombat 0.2.12, rows 0, 4, 5 and 11 of `test_it_gives_the_values_of_neurocombat`.
NEUROCOMBAT = [
    [0.778943, 4.201323, 7.070394, 6.239067],
    [1.376537, 4.58116, 5.892538, 3.780674],
    [2.37189, 2.391352, 0.479011, 0.528861],
    [1.227725, 4.388216, 7.148182, 6.144379],
]


def scanners(counts=(25, 20, 15), columns=6, seed=0):
    """Lesions of scanners whose values are shifted and stretched, and their names."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(["a", "b", "c"][: len(counts)], counts)
    values = rng.normal(size=(len(groups), columns)) * rng.uniform(0.5, 3, columns) + rng.normal(size=columns)
    for group, stretch, shift in zip("abc"[: len(counts)], (1, 1.6, 0.6), (0, 0.8, -0.7), strict=False):
        values[groups == group] = values[groups == group] * stretch + shift + rng.normal(0, 0.3, columns)
    return values, groups


def harmonised(values, groups, weight=None):
    weight = np.ones(len(values)) if weight is None else weight
    return apply_combat(values, groups, fit_combat(values, groups, weight))


def written_out(values, groups):
    """Equations 3.1 to 3.3 of Johnson, Li and Rabinovic, number by number."""
    names, (count, columns) = sorted(set(groups)), values.shape
    result = np.empty_like(values)
    mean = {name: [values[groups == name, g].mean() for g in range(columns)] for name in names}
    alpha = [sum((groups == i).sum() / count * mean[i][g] for i in names) for g in range(columns)]
    sigma = [
        np.sqrt(sum((values[j, g] - mean[groups[j]][g]) ** 2 for j in range(count)) / count)
        for g in range(columns)
    ]
    z = np.array([[(values[j, g] - alpha[g]) / sigma[g] for g in range(columns)] for j in range(count)])
    for i in names:
        rows, n = z[groups == i], (groups == i).sum()
        gamma_hat, delta_hat = rows.mean(axis=0), rows.var(axis=0, ddof=1)
        gamma_bar, tau = gamma_hat.mean(), gamma_hat.var(ddof=1)
        v, s = delta_hat.mean(), delta_hat.var(ddof=1)
        lam, theta = (v**2 + 2 * s) / s, (v**3 + v * s) / s
        for g in range(columns):
            gamma, delta = gamma_hat[g], delta_hat[g]
            for _ in range(500):
                gamma = (n * tau * gamma_hat[g] + delta * gamma_bar) / (n * tau + delta)
                delta = (theta + 0.5 * ((rows[:, g] - gamma) ** 2).sum()) / (n / 2 + lam - 1)
            result[groups == i, g] = sigma[g] / np.sqrt(delta) * (rows[:, g] - gamma) + alpha[g]
    return result


def test_it_is_the_method_of_the_paper():
    values, groups = scanners()
    assert harmonised(values, groups) == pytest.approx(written_out(values, groups), abs=1e-6)


def test_it_gives_the_values_of_neurocombat():
    """neuroCombat 0.2.12 (parametric, batch only) on the same numbers, which no generator has drawn."""
    rows, columns = np.arange(12), np.arange(4)
    values = np.sin(1.7 * rows[:, None] + columns) * (1 + columns) + columns
    groups = np.array(["a"] * 5 + ["b"] * 7)
    values[groups == "b"] = values[groups == "b"] * 1.5 + 2
    assert harmonised(values, groups)[[0, 4, 5, 11]] == pytest.approx(np.array(NEUROCOMBAT), abs=1e-5)


def test_shifts_and_scales_of_scanners_go_and_what_a_patient_differs_by_stays():
    values, groups = scanners((200, 200), columns=20)
    after = harmonised(values, groups)
    for before, limit in ((values, 0.3), (after, 0.05)):
        a, b = before[groups == "a"], before[groups == "b"]
        apart = np.abs(a.mean(axis=0) - b.mean(axis=0)).mean() / before.std()
        assert apart > limit if before is values else apart < limit
    for group in "ab":
        inside = groups == group
        assert np.corrcoef(values[inside, 0], after[inside, 0])[0, 1] == pytest.approx(1)


def test_what_is_fitted_is_plain_and_knows_training_lesions_only():
    values, groups = scanners()
    train = np.arange(len(values)) % 3 > 0
    fitted = fit_combat(values[train], groups[train], np.ones(train.sum()))
    assert fitted["groups"] == ["a", "b", "c"]
    assert {type(fitted["groups"][0]), type(fitted["shift"][0][0])} == {
        str,
        float,
    }  # what a checkpoint may hold
    changed = values.copy()
    changed[~train] += 100
    again = fit_combat(changed[train], groups[train], np.ones(train.sum()))
    assert again == fitted
    assert apply_combat(changed, groups, fitted)[train] == pytest.approx(
        apply_combat(values, groups, fitted)[train]
    )


def test_a_group_that_was_not_seen_or_has_one_patient_passes_through():
    values, groups = scanners()
    groups[-3:] = ["d", "d", ""]
    weight = np.ones(len(values))
    weight[-3:-1] = 0.5  # two lesions of one patient
    fitted = fit_combat(values, groups, weight)
    assert fitted["groups"] == ["a", "b", "c"]
    names = np.array(["d", "", "other"])
    assert np.array_equal(apply_combat(values[:3], names, fitted), values[:3])
    alone = fit_combat(values[:25], groups[:25], weight[:25])
    assert alone["groups"] == [] and np.array_equal(apply_combat(values, groups, alone), values)


def test_a_patient_counts_once_however_many_lesions_it_has():
    values, groups = scanners()
    copies = np.repeat(np.arange(len(values)), np.where(np.arange(len(values)) == 0, 50, 1))
    weight = np.where(copies == 0, 1 / 50, 1.0)
    fitted, once = fit_combat(values[copies], groups[copies], weight), fit_combat(values, groups, np.ones(60))
    assert np.array(fitted["shift"]) == pytest.approx(np.array(once["shift"]))
    assert np.array(fitted["factor"]) == pytest.approx(np.array(once["factor"]))


def test_missing_and_constant_values_stay_as_they_are():
    values, groups = scanners()
    values[3, 1], values[:, 2] = np.nan, 7.0
    values[groups == "b", 3] = -1.0
    after = harmonised(values, groups)
    assert np.isnan(after[3, 1]) and np.isfinite(np.delete(after, 3, axis=0)).all()
    assert np.array_equal(after[:, 2:4], values[:, 2:4]) and not np.allclose(after[:, 0], values[:, 0])
