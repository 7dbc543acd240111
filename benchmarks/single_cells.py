"""Single cells (PBMC, 5 types, 1000 genes): likelihood of held-out cells beside factor models, and types in the code.

All are conditional on the same totals: log p(x | exposure N), where a model of counts given their total N (multinomial
or LDA) has the Poisson mass of N at rate N added, which makes it one of Poisson counts of that exposure.
"""

from __future__ import annotations

import numpy as np
from common import begin, cpu_seconds, note, parser, table
from newsgroups import as_floats, lda_scores, log_orders
from scipy import sparse, stats
from scipy.special import logsumexp


def cells(folder):
    """Counts (3000, 1000) and the type of each cell."""
    held = np.load(folder / "pbmc_facs" / "pbmc_facs_shared_3000x1000.npz", allow_pickle=True)
    X = sparse.csr_array((held["data"].astype(np.int32), held["indices"], held["indptr"]), tuple(held["shape"]))
    return X, held["label"].astype(str)


def multinomial_mixture(X, test, k, steps=60, seed=0):
    """log p of the counts of each test cell in their order, under a mixture of k multinomials fitted by EM."""
    rng = np.random.default_rng(seed)
    log_p = np.log(np.stack([X[rng.choice(X.shape[0], 50)].sum(0) + 0.5 for _ in range(k)]).astype(float))
    log_w = np.full(k, -np.log(k))
    for _ in range(steps):
        log_p -= logsumexp(log_p, 1, keepdims=True)
        r = X @ log_p.T + log_w
        r = np.exp(r - logsumexp(r, 1, keepdims=True))
        log_w, log_p = np.log(r.mean(0) + 1e-12), np.log((X.T @ r).T + 0.05)
    log_p -= logsumexp(log_p, 1, keepdims=True)
    return logsumexp(test @ log_p.T + log_w, 1)


def poisson_factors(X, test, k):
    """As above under Poisson factors whose loadings are fitted to each test cell itself: no density, but a bound."""
    from sklearn.decomposition import NMF

    model = NMF(k, solver="mu", beta_loss="kullback-leibler", max_iter=200, init="nndsvda", random_state=0).fit(X)
    rates = model.transform(test) @ model.components_ + 1e-9
    return np.asarray(test.multiply(np.log(rates / rates.sum(1, keepdims=True))).sum(1)).ravel()


def separation(z, types, train, test):
    """Accuracy of the nearest 15 training cells, and the mean silhouette of all."""
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import KNeighborsClassifier

    judge = KNeighborsClassifier(15).fit(z[train], types[train])
    return judge.score(z[test], types[test]), float(silhouette_score(z, types))


def main():
    given = begin(parser(__doc__.partition("\n")[0]))
    from sklearn.decomposition import PCA, LatentDirichletAllocation

    from latens import VAE
    from latens.distributions import Multinomial, NegativeBinomial, ZeroInflated
    from latens.nn import MLP

    X, types = cells(given.data)
    order = np.random.default_rng(0).permutation(X.shape[0])
    train, test = np.sort(order[:2400]), np.sort(order[2400:])
    held = X[test]
    totals = np.asarray(held.sum(1)).ravel()
    lift = log_orders(held) + stats.poisson.logpmf(totals, totals)
    base = np.log((np.asarray(X[train].sum(0)).ravel() + 0.5) / (X[train].sum() + 500))
    rows = [["one multinomial", float((held @ base + lift).mean()), "-", "-", "-"]]
    for k in (5, 10, 20):
        scores = multinomial_mixture(X[train], held, k) + lift
        rows.append([f"mixture of {k} multinomials", float(scores.mean()), "-", "-", "-"])
        note(rows[-1])
    start = cpu_seconds()
    lda = LatentDirichletAllocation(10, max_iter=20, learning_method="online", batch_size=256, random_state=0)
    scores = lda_scores(lda.fit(as_floats(X[train])), as_floats(held), 64) + lift
    rows.append(["LDA, 10 factors", float(scores.mean()), "-", "-", cpu_seconds() - start])
    note(rows[-1])
    start = cpu_seconds()
    scores = poisson_factors(as_floats(X[train]), as_floats(held), 10) + lift
    rows.append(["10 Poisson factors, fitted to the cell", float(scores.mean()), "-", "-", cpu_seconds() - start])
    note(rows[-1])
    sizes = np.asarray(X.sum(1))[:, None] if X.sum(1).ndim == 1 else np.asarray(X.sum(1))
    z = PCA(10, random_state=0).fit_transform(np.log1p(X.toarray() / sizes * np.median(sizes)))
    rows.append(["PCA of log counts, 10 axes", "-", *separation(z, types, train, test), "-"])
    note(rows[-1])
    counted = NegativeBinomial(exposure="total")
    small = {"latents": 10, "encoder": MLP((128,)), "decoder": MLP((128,)), "epochs": 40, "random_state": 0}
    models = {
        repr(family): VAE(likelihood=family, **small) for family in (Multinomial(), counted, ZeroInflated(counted))
    }
    models[f"{counted}, all else by default"] = VAE(likelihood=counted, random_state=0)
    for name, vae in models.items():
        start = cpu_seconds()
        vae.fit(X[train])
        seconds = cpu_seconds() - start
        more = stats.poisson.logpmf(totals, totals) if vae.likelihood == Multinomial() else 0.0
        score = float((vae.score_samples(held, k=64) + more).mean())
        rows.append([name, score, *separation(vae.transform(X), types, train, test), seconds])
        note(rows[-1])
    columns = ["model", "log p(x | exposure), nats a cell", "types by 15 neighbours", "silhouette", "seconds"]
    table("600 held-out cells of 3000, 1000 genes, 5 types", columns, rows, "scikit-learn")


if __name__ == "__main__":
    main()
