"""Which layers of a library's network ``--layer all`` means: stages, in the order they run."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fstore.extractor.networks._api import Tokens

if TYPE_CHECKING:
    from torch import nn

__all__ = ["declared_layers", "output_shapes", "with_class_tokens"]


@dataclass(frozen=True)
class _Seen:
    """What the first call of a module gave: its tensors' shapes, and whether it did anything."""

    shapes: Mapping[str, tuple[int, ...]]
    idle: bool

    @property
    def dims(self) -> int:
        """Dimensions of the output; of several tensors those of the first, of none 0."""
        return len(next(iter(self.shapes.values()), ()))


def declared_layers(
    model: "nn.Module", size: int, *, scores: Collection[str] | None = None
) -> list[str]:
    """Choose the layers that ``--layer all`` means: stages, in the order in which they run.

    From the top-level modules downwards: a module that holds nine tenths of the feature part is
    replaced by its children, a plain chain of several weight layers by its links. Of links, those
    whose response an activation or a normalisation still changes, and what hands on its input
    (dropout), are left out; so are the class scores, whose width depends on the data set. Of an
    output with several tensors each is a layer (``stage4.0``).

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode.
    size : int
        Side of the square input, pixels.
    scores : collection of str or None
        Module paths of the layers that give the class scores; None for the last one.
    """
    seen = _first_outputs(model, size)
    chosen = _feature_stages(model, seen)
    paths = [link for path in chosen for link in _links(model, path)]
    paths = [path for path in paths if path in seen and seen[path].shapes]
    paths = [path for path in paths if all(map(_is_square, seen[path].shapes.values()))]
    paths.sort(key=list(seen).index)
    kept = []
    for path, following in zip(paths, [*paths[1:], ""], strict=True):
        settled = not (_is_linear(model, path) and following and _is_pointwise(model, following))
        if settled and not seen[path].idle and not _is_identity(model, path):
            kept.append(path)
    kept = kept[:-1] if scores is None else [path for path in kept if path not in scores]
    return [name for path in kept for name in _parts(model, path, seen)]


def output_shapes(model: "nn.Module", size: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what modules give for one sample, in order of completion.

    Of an output with several tensors each has a name: ``path.place``.
    """
    return {
        f"{path}.{place}" if place else path: shape
        for path, seen in _first_outputs(model, size).items()
        for place, shape in seen.shapes.items()
    }


def with_class_tokens(
    layers: Iterable[str], shapes: Mapping[str, tuple[int, ...]], tokens: Tokens | None
) -> dict[str, str]:
    """Return layers with their taps; after each with class tokens the layer of these, NAME/cls.

    Parameters
    ----------
    layers : iterable of str
    shapes : mapping of layer to shape
        For one sample.
    tokens : Tokens or None
    """
    declared: dict[str, str] = {}
    for layer in layers:
        declared[layer] = layer
        shape = shapes.get(layer, ())
        if tokens is None or not tokens.prefix or len(shape) != 3:
            continue
        if tokens.prefix + tokens.height * tokens.width in shape[1:]:
            declared[f"{layer}/cls"] = f"{layer}/cls"
    return declared


def _parts(model: "nn.Module", path: str, seen: Mapping[str, _Seen]) -> list[str]:
    """Name each tensor of an output, of the last link of a chain where the chain has it too."""
    from torch import nn

    if set(seen[path].shapes) == {""}:
        return [path]
    while isinstance(model.get_submodule(path), nn.Sequential):
        path = _children(model, path)[-1]  # chain.0 would be the chain's first link, not its part
    modules = {module for module, _ in model.named_modules()}
    names = [f"{path}.{place}" for place in seen[path].shapes]
    return [name for name in names if name not in modules]


def _first_outputs(model: "nn.Module", size: int) -> dict[str, _Seen]:
    """Return what every module's first call gave, in order of completion."""
    from fstore.extractor.probe import run_on_meta

    seen: dict[str, _Seen] = {}

    def hook(path: str) -> Callable[..., None]:
        def note(module: "nn.Module", args: tuple[object, ...], output: object) -> None:
            if path not in seen:
                seen[path] = _Seen(_shapes(output), idle=_is_idle(module, args, output))

        return note

    handles = [m.register_forward_hook(hook(p)) for p, m in model.named_modules() if p]
    try:
        run_on_meta(model, size)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _shapes(output: object) -> dict[str, tuple[int, ...]]:
    from torch import Tensor

    from fstore.extractor.outputs import items

    tensors = {place: item for place, item in items(output) if isinstance(item, Tensor)}
    shapes = {place: tuple(t.shape) for place, t in tensors.items() if t.is_floating_point()}
    if len(tensors) > 1:  # masks and indices are no responses; the others keep their places
        return shapes
    if len(shapes) == 1:  # the only tensor of a tuple needs no place
        return dict.fromkeys([""], next(iter(shapes.values())))
    return shapes


def _is_idle(module: "nn.Module", args: tuple[object, ...], output: object) -> bool:
    """Tell modules that return the tensor that they were given: dropout in evaluation mode."""
    return bool(args) and output is args[0] and not getattr(module, "inplace", False)


def _feature_stages(model: "nn.Module", seen: Mapping[str, _Seen]) -> list[str]:
    paths = [path for path, _ in model.named_children()]
    while True:
        weights = {p: _weight_layers(model, p) for p in paths if _has_places(seen, p)}
        whole = [p for p in paths if weights.get(p, 0) >= 0.9 * sum(weights.values())]
        silent = [p for p in paths if p not in seen]
        replace = [p for p in whole + silent if _children(model, p)]
        if not replace:
            return paths
        paths = [c for p in paths for c in (_children(model, p) if p in replace else [p])]


def _has_places(seen: Mapping[str, _Seen], path: str) -> bool:
    """Tell whether an output may have places; of a list of modules nothing is known."""
    return path not in seen or not seen[path].shapes or seen[path].dims > 2


def _children(model: "nn.Module", path: str) -> list[str]:
    return [f"{path}.{name}" for name, _ in model.get_submodule(path).named_children()]


def _weight_layers(model: "nn.Module", path: str) -> int:
    modules = model.get_submodule(path).modules()
    return sum(1 for m in modules if next(m.parameters(recurse=False), None) is not None)


def _links(model: "nn.Module", path: str) -> list[str]:
    from torch import nn

    module = model.get_submodule(path)
    children = list(module.children())
    plain = type(module) is nn.Sequential and not any(list(c.children()) for c in children)
    several = sum(1 for c in children if isinstance(c, (nn.Linear, nn.Conv2d))) > 1
    return _children(model, path) if plain and several else [path]


def _is_square(shape: tuple[int, ...]) -> bool:
    """Tell shapes that a square input's maps can have, channels first or last."""
    return len(shape) != 4 or shape[2] == shape[3] or shape[1] == shape[2]


def _is_linear(model: "nn.Module", path: str) -> bool:
    from torch import nn
    from torchvision.ops import FrozenBatchNorm2d

    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, FrozenBatchNorm2d)
    return isinstance(model.get_submodule(path), kinds)


def _is_pointwise(model: "nn.Module", path: str) -> bool:
    from torch import nn
    from torchvision.ops import FrozenBatchNorm2d

    activations = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.GELU)
    kinds = (*activations, nn.BatchNorm2d, FrozenBatchNorm2d)
    return isinstance(model.get_submodule(path), kinds)


def _is_identity(model: "nn.Module", path: str) -> bool:
    """Tell modules that change no value: dropout, and what only arranges values anew."""
    from torch import nn
    from torchvision.ops import Permute

    kinds = (nn.Dropout, nn.Identity, nn.Flatten, Permute)
    return isinstance(model.get_submodule(path), kinds)
