"""The two classifiers: the SVM against scikit-learn, the network's labels and learning."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.feature
from sklearn.svm import SVC

from napari_anomaly.core.errors import CheckpointError
from napari_anomaly.core.methods import classifier
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.nn.augment import augmented
from napari_anomaly.core.nn.steps import take_steps
from napari_anomaly.core.presence import svm
from napari_anomaly.core.progress import finished


def pictures(n, seed=0, side=32, channels=1):
    """Half with a bright bar, half without, in noise; present first."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0.2, 0.6, (2 * n, side, side, channels)).astype(np.float32)
    images[:n, side // 2 - 3 : side // 2 + 3, 4:-4] += 0.4
    return images, np.arange(2 * n) < n


# -- features -------------------------------------------------------------------------------------


def test_a_row_is_hog_then_the_histogram_of_each_channel():
    images, _ = pictures(2, channels=3)
    rows = svm.describe(images)
    hog = skimage.feature.hog(
        images[1].astype(float), 9, (8, 8), (2, 2), block_norm="L2-Hys", channel_axis=-1
    )
    assert rows.shape == (4, 3 * 3 * 2 * 2 * 9 + 3 * 16)  # 4 x 4 cells, 3 x 3 blocks
    np.testing.assert_array_equal(rows[1, :324], hog)
    np.testing.assert_allclose(rows[:, 324:].reshape(4, 3, 16).sum(2), 1)


def test_the_histogram_of_one_grey_is_one_bin():
    rows = svm.describe(np.full((1, 32, 32, 1), 0.55, np.float32))
    assert np.flatnonzero(rows[0]).tolist() == [324 + 8]  # .55 lies in [8/16, 9/16); flat: no edges
    assert rows[0, 332] == 1


def test_edges_do_not_depend_on_contrast():
    images, _ = pictures(2)
    np.testing.assert_allclose(
        svm.describe(images)[:, :324], svm.describe(0.5 * images + 0.1)[:, :324], atol=1e-3
    )


# -- support vector machine -----------------------------------------------------------------------


def fitted_svm(features, present, channels=1):
    return finished(svm.fit_steps(features, present, channels=channels, seed=0))


@pytest.mark.parametrize(("n", "absent"), [(3, 3), (12, 5)])
def test_decisions_are_scikit_learns(n, absent):
    images, present = pictures(n)
    keep = np.r_[:n, n : n + absent]
    rows, present = svm.describe(images)[keep], present[keep]
    edges, histogram = rows[:, :324], rows[:, 324:]
    # scaled here by hand: each half by its total deviation; then 2 is the total variance
    scaled = np.hstack([half / np.sqrt(half.var(0).sum()) for half in (edges, histogram)])
    bounds = np.where(present, absent / n, 1.0)  # the scarcer class is absent
    theirs = SVC(C=10, kernel="rbf", gamma=0.1 / 2).fit(scaled, present, sample_weight=bounds)
    new = svm.describe(pictures(8, seed=1)[0])
    new_scaled = np.hstack(
        [
            new[:, :324] / np.sqrt(edges.var(0).sum()),
            new[:, 324:] / np.sqrt(histogram.var(0).sum()),
        ]
    )
    ours = fitted_svm(rows, present)
    np.testing.assert_allclose(ours.decide(new), theirs.decision_function(new_scaled), rtol=1e-9)
    assert ours.dual.sum() == pytest.approx(0, abs=1e-9)  # the dual problem's constraint


def test_images_that_are_all_alike_stay_finite():
    rows = np.repeat(svm.describe(np.full((1, 32, 32, 1), 0.5, np.float32)), 6, axis=0)
    assert np.isfinite(fitted_svm(rows, np.arange(6) < 3).decide(rows)).all()


def test_an_svm_comes_back_from_its_arrays():
    images, present = pictures(4)
    rows = svm.describe(images)
    one = fitted_svm(rows, present)
    again = svm.restore(dict(one.arrays()), (32, 32, 1))
    np.testing.assert_array_equal(again.decide(rows), one.decide(rows))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("gamma"), "'gamma'"),
        (lambda a: a.update(extra=np.zeros(1)), "'extra'"),
        (lambda a: a.update(support=a["support"][:, 1:]), "support with shape"),
        (lambda a: a.update(scale=a["scale"].astype(np.float32)), "scale with shape .*float32"),
        (lambda a: a.update(dual=np.full_like(a["dual"], np.nan)), "dual with shape .*finite"),
    ],
)
def test_wrong_arrays_are_named(change, words):
    images, present = pictures(3)
    rows = svm.describe(images)
    arrays = dict(fitted_svm(rows, present).arrays())
    change(arrays)
    with pytest.raises(CheckpointError, match=words):
        svm.restore(arrays, (32, 32, 1))


# -- network --------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch):
    """Few steps; how images are changed at random stays."""
    monkeypatch.setattr(
        classifier, "_TRAINING", replace(classifier._TRAINING, duration=30, learning_rate=5e-3)
    )


def fitted_network(images, present, seed=0, channels=1):
    losses = []
    steps = classifier.fit_steps(images, present, channels=channels, seed=seed)
    return finished(steps, lambda now: losses.append(now.loss)), losses


class Says:
    """Stands for a network: the mean of an image is its decision."""

    def __call__(self, images):
        return images.mean((1, 2, 3))


def test_the_loss_by_hand():
    """Decision 1 for 3 present, -2 for 1 absent: weights 4/6 and 4/2."""
    images = np.ones((4, 8, 8, 1), np.float32)
    images[3] = -2
    labelled = classifier._labelled(images, np.array([True, True, True, False]))
    losses = classifier.weighted_cross_entropy(
        Says(), jnp.asarray(labelled), jax.random.split(jax.random.key(0), 4)
    )
    right_present, right_absent = np.log1p(np.exp(-1)), np.log1p(np.exp(-2))
    expected = [4 / 6 * right_present] * 3 + [2 * right_absent]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "knobs",
    [{"flip": True}, {"rotate": 40.0}, {"crop": 0.4}, {"brightness": 3.0}],
    ids=lambda knobs: next(iter(knobs)),
)
def test_labels_survive_every_random_change(knobs):
    images, present = pictures(4)
    labelled = jnp.asarray(classifier._labelled(images, present))
    keys = jax.random.split(jax.random.key(3), len(images))
    changed = augmented(labelled, keys, Training(**knobs))
    assert not np.allclose(changed[..., 0], labelled[..., 0])
    difference = changed[..., 1] - changed[..., 2]
    np.testing.assert_allclose(
        difference,
        np.broadcast_to(np.where(present, 1, -1)[:, None, None], difference.shape),
        atol=1e-5,
    )


def test_it_learns_a_few_pictures_and_tells_new_ones(short):
    images, present = pictures(4, channels=3)
    network, losses = fitted_network(images, present, channels=3)
    assert np.mean(losses[-5:]) < 0.2 * losses[0]
    new, truth = pictures(10, seed=5, channels=3)
    assert ((network.decide(new) > 0) == truth).mean() >= 0.9


def test_exchanged_labels_exchange_the_answers(short):
    images, present = pictures(4)
    network, _ = fitted_network(images, ~present)
    assert ((network.decide(pictures(6, seed=5)[0]) > 0) == (np.arange(12) >= 6)).all()


def test_one_seed_gives_one_network_whatever_the_company(short):
    images, present = pictures(3)
    first, again, other = (fitted_network(images, present, seed=s)[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(first.decide(images), again.decide(images))
    assert not np.array_equal(first.decide(images), other.decide(images))
    np.testing.assert_array_equal(first.decide(images)[2:3], first.decide(images[2:3]))


def test_normalisation_is_learned_from_the_given_images(short):
    images, present = pictures(3)
    network, _ = fitted_network(images, present)
    assert network.mean[0] == pytest.approx(images.mean(), rel=1e-5)
    assert network.std[0] == pytest.approx(images.std(), rel=1e-5)


def test_folds_of_any_size_compile_once(short):
    images, present = pictures(12)
    take_steps.clear_cache()
    for rows in (np.r_[0:2, 12:14], np.r_[0:3, 12:17], np.r_[0:11, 12:24]):
        fitted_network(images[rows], present[rows])
    assert take_steps._cache_size() == 1


def test_a_network_comes_back_from_its_arrays(short):
    images, present = pictures(3)
    network, _ = fitted_network(images, present)
    arrays = dict(network.arrays())
    again = classifier.restore(arrays, (32, 32, 1))
    np.testing.assert_array_equal(again.decide(images), network.decide(images))
    with pytest.raises(CheckpointError, match="network for images of"):
        classifier.restore(arrays, (64, 32, 1))
    with pytest.raises(CheckpointError, match="no usable 'std'"):
        classifier.restore(arrays | {"std": np.ones(2, np.float32)}, (32, 32, 1))
    with pytest.raises(CheckpointError, match="not positive"):
        classifier.restore(arrays | {"std": np.zeros(1, np.float32)}, (32, 32, 1))
