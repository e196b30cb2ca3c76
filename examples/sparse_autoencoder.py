"""From a store to a linear probe and a sparse autoencoder, and back: under a minute on a CPU.

    python examples/sparse_autoencoder.py [FOLDER]

1. fill a store: handwritten digits, a small network trained for a few iterations, its conv5;
2. train a linear probe on batches that ``store.loader`` reads;
3. train a sparse autoencoder on conv5: each place of a map is a vector of 48 responses, written as
   a sum of at most 6 of 192 directions;
4. store its latents as a layer, with ``store.add_layer_from``;
5. ask SQL which latents tell a digit best.

``docs/loading.md`` explains the steps.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import fstore
from fstore.api import Store

LATENTS, AT_ONCE = 192, 6

SELECTIVE = """
WITH ap AS (
    SELECT layer, class, channel, voc_ap(act_max, label) AS ap
    FROM activations JOIN all_labels USING (dataset, view, sample_id)
    JOIN splits USING (dataset, view, sample_id)
    WHERE dataset = 'digits' AND part = 'test'
    GROUP BY layer, class, channel)
SELECT class,
       arg_max(channel, ap) FILTER (layer = 'conv5') AS filter,
       max(ap) FILTER (layer = 'conv5') AS ap_of_filter,
       arg_max(channel, ap) FILTER (layer = 'sae/conv5') AS latent,
       max(ap) FILTER (layer = 'sae/conv5') AS ap_of_latent
FROM ap GROUP BY class ORDER BY class
"""

DENSITY = """
SELECT layer, channels, avg(nnz / (height * width)) AS density
FROM activations JOIN layers USING (network, layer) GROUP BY layer, channels ORDER BY layer
"""


class Probe(nn.Module):
    """A linear classifier of whole maps."""

    def __init__(self, values: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(values, affine=False)
        self.linear = nn.Linear(values, classes)

    def forward(self, maps: Tensor) -> Tensor:
        """Return scores, (B, classes), of maps (B, C, H, W)."""
        scores: Tensor = self.linear(self.norm(maps.flatten(1)))
        return scores


class SparseAutoencoder(nn.Module):
    """Vectors as sums of a few of many directions: the largest latents stay, the rest become 0."""

    def __init__(self, channels: int, latents: int, at_once: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(channels, latents)
        self.decoder = nn.Linear(latents, channels)
        self.at_once = at_once
        with torch.no_grad():
            self.encoder.weight.copy_(self.decoder.weight.T)

    def encode(self, x: Tensor) -> Tensor:
        """Return latents, (n, latents), of vectors (n, channels)."""
        latents = torch.relu(self.encoder(x - self.decoder.bias))
        values, places = latents.topk(self.at_once, dim=-1)
        return torch.zeros_like(latents).scatter(-1, places, values)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the latents of vectors give back."""
        back: Tensor = self.decoder(self.encode(x))
        return back

    def encode_maps(self, maps: Tensor) -> Tensor:
        """Return latents, (n, latents, H, W), of maps (n, channels, H, W)."""
        return self.encode(maps.movedim(1, -1)).movedim(-1, 1)


def fill(folder: Path) -> Store:
    """Make a store: digits, a small network after 40 iterations, and its conv5."""
    from fstore.workflows.train.run import pretrain

    store = fstore.create(folder)
    store.add_dataset("digits", format="digits", quiet=True)
    pretrain(store, network="caffenet-mini", dataset="digits", iterations=40, snapshots=(40,))
    store.extract("conv5", "40", "digits", quiet=True)
    return store


def train_probe(store: Store, *, epochs: int = 8) -> float:
    """Return the share of test images that a linear probe names rightly."""
    train = store.loader("conv5", "40", "digits", part="train", batch_size=64)
    test = store.loader("conv5", "40", "digits", part="test", shuffle=False)
    probe = Probe(48 * 4 * 4, len(train.classes))
    optimizer = torch.optim.Adam(probe.parameters(), lr=1e-2)
    batches = DataLoader(train, batch_size=None, num_workers=0)
    for epoch in range(epochs):
        train.set_epoch(epoch)  # another order in each
        for batch in batches:
            loss = nn.functional.cross_entropy(probe(batch["X"]), batch["y"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    probe.eval()
    with torch.no_grad():
        right = sum(int((probe(b["X"]).argmax(1) == b["y"]).sum()) for b in test)
    return right / test.n_samples


def train_autoencoder(store: Store, *, epochs: int = 20) -> tuple[SparseAutoencoder, float]:
    """Return a sparse autoencoder of conv5's places, and the share of variance it explains."""
    loader = store.loader("conv5", "40", "digits", part="train", batch_size=32, labels=False)
    model = SparseAutoencoder(loader.sample_shape[0], LATENTS, AT_ONCE)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        for batch in loader:
            x = batch["X"].movedim(1, -1).flatten(0, 2)  # (B, C, H, W) -> (B*H*W, C)
            loss = nn.functional.mse_loss(model(x), x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    test = torch.cat([b["X"] for b in store.loader("conv5", "40", "digits", part="test")])
    x = test.movedim(1, -1).flatten(0, 2)
    with torch.no_grad():
        unexplained = (model(x) - x).pow(2).mean() / x.var(dim=0, unbiased=False).mean()
    return model.eval(), 1 - float(unexplained)


def main(folder: Path) -> None:
    """Do all steps, and print what comes of them."""
    torch.manual_seed(0)
    store = fill(folder)
    print(f"probe: {100 * train_probe(store):.1f} % of test images right (chance: 10 %)")
    model, explained = train_autoencoder(store)
    share = f"{100 * explained:.1f} % of the variance"
    print(f"autoencoder: at most {AT_ONCE} of {LATENTS} latents at a place explain {share}")
    layer = store.add_layer_from(
        "conv5",
        "40",
        "digits",
        name="sae/conv5",
        function=model.encode_maps,
        weights=model.state_dict(),
        version=f"top {AT_ONCE}",
        quiet=True,
    )
    print(f"stored: {layer.samples} samples of {layer.shape}, {layer.bytes / 1e6:.1f} MB")
    for row in store.sql(DENSITY).arrow().to_pylist():
        print(f"  {row['layer']:<10} {100 * row['density']:5.1f} % of responses are not 0")
    print("digit  best filter    AP   best latent    AP")
    for row in store.sql(SELECTIVE).arrow().to_pylist():
        bar = "#" * round(20 * row["ap_of_latent"])
        print(
            f"{row['class']:>5}  {row['filter']:>11}  {row['ap_of_filter']:.2f}"
            f"  {row['latent']:>12}  {row['ap_of_latent']:.2f}  {bar}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "fstore-sae"))
