"""Tokens of an image are a map of its places, class tokens a layer of their own; or refused."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fstore.errors import DataError
from fstore.extractor.networks import Network, Tokens
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.taps import Taps, every_layer, layer_specs

WIDTH = 6


class Patches(nn.Module):
    """Patches of 4 x 4 pixels of 16 x 24, then a function, then a block of torch's own encoder."""

    def __init__(self, then: Callable[[Tensor], Tensor], *, batch_first: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, WIDTH, 4, 4)
        self.then = then
        self.tokens = nn.Identity()
        self.block = nn.TransformerEncoderLayer(WIDTH, 2, 8, batch_first=batch_first)
        self.norm = nn.LayerNorm(WIDTH)
        self.position = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.queries = nn.Parameter(torch.randn(5, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """Run the parts; only of one size."""
        assert x.shape[-1] == 16
        y = self.conv(x)[..., :3]  # 4 rows of 3 places
        out: Tensor = self.norm(self.block(self.tokens(self.then(y))))
        return out


def network(
    then: Callable[[Tensor], Tensor], *, batch_first: bool = True, **more: object
) -> Network:
    """Wrap the patches."""
    model = Patches(then, batch_first=batch_first).eval()
    prepared = Preprocess(size=16, resize=16)
    return Network("own", model, prepared, {"l": "norm"}, **more)  # type: ignore[arg-type]


def rows(y: Tensor) -> Tensor:
    """Put the places row by row: (N, 12, C)."""
    return y.flatten(2).transpose(1, 2)


def with_classes(y: Tensor) -> Tensor:
    """Put two more tokens before: (N, 14, C)."""
    return torch.cat([rows(y).mean(1, keepdim=True).expand(-1, 2, -1), rows(y)], dim=1)


def windows(y: Tensor) -> Tensor:
    """Put windows of two rows and one column one after another."""
    return y.reshape(len(y), -1, 2, 2, 3).permute(0, 2, 4, 3, 1).flatten(1, 3)


def columns(y: Tensor) -> Tensor:
    """Put the places column by column."""
    return rows(y.transpose(2, 3))


def strided(y: Tensor) -> Tensor:
    """Put the even rows before the odd ones, as Hiera does."""
    return y.reshape(len(y), -1, 2, 2, 3).permute(0, 3, 2, 4, 1).flatten(1, 3)


def hooked(model: nn.Module, name: str, x: Tensor) -> Tensor:
    """Return what a plain hook sees of a module."""
    seen: list[Tensor] = []
    handle = model.get_submodule(name).register_forward_hook(
        lambda _m, _a, output: seen.append(output.clone())
    )
    with torch.inference_mode():
        model(x)
    handle.remove()
    return seen[0]


def test_tokens_are_a_map_of_rows_and_columns() -> None:
    """Places in the order of the image's rows are 4 x 3 maps of what a plain hook sees."""
    own = network(rows)
    x = torch.randn(2, 3, 16, 16)
    taps = Taps(own)
    assert (taps.specs[0].channels, taps.specs[0].height, taps.specs[0].width) == (WIDTH, 4, 3)
    expected = hooked(own.model, "norm", x).reshape(2, 4, 3, WIDTH).permute(0, 3, 1, 2)
    assert torch.equal(taps.collect(x)["l"], expected)


def test_what_was_rolled_is_in_place_when_it_is_rolled_back() -> None:
    """Rows that were moved on are no grid in their order; moved back by as much they are again."""
    again = Taps(network(lambda y: rows(y.roll(1, 2).roll(-1, 2))), ["tokens"])
    assert (again.specs[0].height, again.specs[0].width) == (4, 3)
    for wrong in (
        lambda y: rows(y.roll(1, 2)),
        lambda y: rows(y).roll(3, 1),
        lambda y: rows(y.flip(2)),
    ):
        with pytest.raises(DataError, match="which places of the image"):
            Taps(network(wrong))


@pytest.mark.parametrize("batch_first", [True, False])
def test_class_tokens_are_a_layer_of_their_own(*, batch_first: bool) -> None:
    """NAME is the grid, NAME/cls the tokens before it one after another; samples second, too."""

    def then(y: Tensor) -> Tensor:
        return with_classes(y) if batch_first else with_classes(y).transpose(0, 1)

    own = network(then, batch_first=batch_first)
    x = torch.randn(3, 3, 16, 16)
    taps = Taps(own, ["l", "l/cls", "tokens/cls", "block"])
    shapes = {s.name: (s.channels, s.height, s.width, s.kind) for s in taps.specs}
    assert shapes["l"] == shapes["block"] == (WIDTH, 4, 3, "conv")
    assert shapes["l/cls"] == shapes["tokens/cls"] == (2 * WIDTH, 1, 1, "fc")
    plain = hooked(own.model, "norm", x)
    plain = plain if batch_first else plain.transpose(0, 1)
    found = taps.collect(x)
    assert torch.equal(found["l/cls"], plain[:, :2].reshape(3, -1))
    assert torch.equal(found["l"], plain[:, 2:].transpose(1, 2).reshape(3, WIDTH, 4, 3))
    names = [s.name for s in every_layer(own)]
    assert {"l", "l/cls", "block", "block/cls", "tokens/cls"} <= set(names)
    assert "norm" not in names
    assert "conv/cls" not in names
    assert len({s.definition for s in layer_specs(own, ["l", "l/cls"])}) == 2


@pytest.mark.parametrize("then", [columns, windows, strided])
def test_places_in_another_order_are_put_row_by_row(then: Callable[[Tensor], Tensor]) -> None:
    """What comes column by column or window by window is the map that comes row by row."""
    own = network(then)
    plain = network(rows)
    x = torch.randn(2, 3, 16, 16)
    found = Taps(own, ["tokens"]).collect(x)["tokens"]
    assert torch.equal(found, Taps(plain, ["tokens"]).collect(x)["tokens"])
    with torch.inference_mode():
        model = plain.model
        assert isinstance(model, Patches)
        assert torch.equal(found, model.conv(x)[..., :3])


def shuffled(y: Tensor) -> Tensor:
    """Sort the places by a rule that the operations do not tell."""
    return rows(y)[:, torch.tensor([3, 1, 2, 0, 4, 5, 6, 7, 8, 9, 10, 11])]


def test_an_order_that_nothing_tells_is_refused_or_stated() -> None:
    """Gathered tokens are refused with the way to state them; a statement is taken, or must fit."""
    x = torch.randn(2, 3, 16, 16)
    with pytest.raises(DataError, match=r"which places of the image.*tokens=Tokens\(prefix="):
        Taps(network(shuffled))
    stated = network(shuffled, tokens=Tokens(2, 2, 5))
    assert [(s.height, s.width) for s in Taps(stated).specs] == [(2, 5)]
    one = network(shuffled, layouts={"l": Tokens(2, 2, 5)})
    found = Taps(one, ["l", "l/cls"]).collect(x)
    plain = hooked(one.model, "norm", x)
    assert torch.equal(found["l/cls"], plain[:, :2].flatten(1))
    assert torch.equal(found["l"].flatten(2), plain[:, 2:].transpose(1, 2))
    as_tokens = Taps(network(shuffled, layouts={"l": "tokens"}))
    assert [(s.height, s.width) for s in as_tokens.specs] == [(12, 1)]
    with pytest.raises(DataError, match=r"does not fit an output of shape \(1, 12, 6\)"):
        Taps(network(shuffled, layouts={"l": Tokens(1, 4, 4)}))
    with pytest.raises(DataError, match="which places of the image"):
        Taps(network(shuffled, tokens=Tokens(1, 7, 7)))


def test_a_statement_that_the_operations_contradict_is_refused() -> None:
    """Tokens that are 4 rows of 3 places are not 3 rows of 4 because somebody says so."""
    with pytest.raises(DataError, match="which places of the image"):
        Taps(network(rows, tokens=Tokens(0, 3, 4)))
    assert Taps(network(rows, tokens=Tokens(1, 4, 3))).specs[0].height == 4


def test_a_layer_without_class_tokens_has_no_cls() -> None:
    """NAME/cls of tokens without a prefix, of maps and of vectors is an error that says so."""
    for layer in ("l/cls", "conv/cls"):
        with pytest.raises(DataError, match="has no class or register tokens before"):
            Taps(network(rows), [layer])


class Queries(nn.Module):
    """Five learned queries that look at the places of an image of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, WIDTH, 4, 4)
        self.queries = nn.Parameter(torch.randn(5, WIDTH))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Run the parts."""
        places = rows(self.conv(x))
        weights = (self.queries @ places.transpose(1, 2)).softmax(-1)
        out: Tensor = self.norm(weights @ places)
        return out


def test_queries_are_no_grid() -> None:
    """Five learned queries that do not grow with the image are 5 x 1 tokens, never a grid."""
    queries = Network("q", Queries().eval(), Preprocess(size=16, resize=16), {"l": "norm"})
    (spec,) = layer_specs(queries)
    assert (spec.channels, spec.height, spec.width) == (WIDTH, 5, 1)


def test_heads_are_no_rows() -> None:
    """(N, heads, tokens, channels) normalised over the last is no map of heads x tokens."""

    def then(y: Tensor) -> Tensor:
        heads = rows(y).reshape(len(y), 12, 2, 3).transpose(1, 2)
        return nn.functional.layer_norm(heads, (3,))

    own = network(then)
    own.model.block, own.model.norm = nn.Identity(), nn.Identity()
    with pytest.raises(DataError, match="tell which of these are the channels"):
        Taps(own, ["tokens"])
