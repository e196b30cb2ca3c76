"""Vision networks of Hugging Face's transformers, under ``hf:FOLDER``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fstore.errors import DataError, UnknownNameError
from fstore.extractor.networks._api import Network, StatedLayout, Tokens
from fstore.extractor.networks._declared import declared_layers, output_shapes, with_class_tokens
from fstore.extractor.networks._hf_weights import hf_tensors, quiet
from fstore.extractor.networks._libraries import import_extra, library

if TYPE_CHECKING:
    from torch import nn

__all__ = ["hf_network"]

HEADS = ("classifier", "bbox_predictor")
"""What modules that give scores are called."""
PREFIXES = ("cls_token", "class_embedding", "distillation_token", "register_tokens")
"""Parameters of embeddings that stand for tokens before the patches."""


def _names() -> list[str]:
    """Return the models that are in Hugging Face's cache with both files."""
    hub = import_extra("huggingface_hub", "hf")
    try:
        repos = hub.scan_cache_dir().repos
    except hub.errors.CacheNotFound:
        return []
    wanted = {"config.json", "preprocessor_config.json"}
    held = {r.repo_id: {f.file_name for v in r.revisions for f in v.files} for r in repos}
    return sorted(name for name, files in held.items() if wanted <= files)


@library("hf", example="hf:./vit-base-patch16-224", names=_names, tensors=hf_tensors)
def hf_network(name: str, *, classes: int | None = None) -> Network:
    """Return a vision network of transformers, from config.json and preprocessor_config.json.

    Parameters
    ----------
    name : str
        ``hf:FOLDER``, or ``hf:MODEL_ID`` of a model whose two files are in Hugging Face's cache.
        The class that the configuration names is built, else the bare model; of a model of images
        and texts its vision part. Weights are random; nothing is downloaded, and no code of the
        folder is run.
    classes : int or None
        Outputs of the classifier; None for the configuration's own.

    Raises
    ------
    UnknownNameError
        No such folder, and no such model in the cache.
    DataError
        Files that transformers does not understand, a network of no images, or preprocessing that
        cannot be said by :class:`Preprocess`.
    MissingExtraError
        transformers is not installed.
    """
    from fstore.extractor.networks._hf_images import hf_preprocess

    transformers = import_extra("transformers", "hf")
    with quiet():
        config = _read(name, transformers.AutoConfig, file="config.json")
        processor = _read(name, transformers.AutoImageProcessor, file="preprocessor_config.json")
        model = _model(name, config, classes)
    preprocess = hf_preprocess(name, processor)
    scores = [path for path, _ in model.named_modules() if path.endswith(HEADS)]
    layers = declared_layers(model, preprocess.size, scores=scores)
    shapes = output_shapes(model, preprocess.size)
    tokens = _tokens(model, preprocess.size, shapes)
    declared = with_class_tokens(layers, shapes, tokens)
    layouts = _queries(config, shapes)
    return Network(name, model, preprocess, declared, layouts=layouts, tokens=tokens)


def _read(name: str, reader: Any, *, file: str) -> Any:  # noqa: ANN401 - untyped
    """Read one of a model's two files, from a folder or the cache."""
    source = name.partition(":")[2]
    folder = Path(source).expanduser()
    where = str(folder) if folder.is_dir() else source
    try:
        return reader.from_pretrained(where, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as exc:
        if not folder.is_dir():
            raise UnknownNameError(
                f"network {name!r}: there is no folder {source}, and Hugging Face's cache has no "
                f"{file} of a model of that name. fstore downloads nothing: get the model's files "
                f"with 'hf download {source} --local-dir FOLDER' and name it hf:FOLDER"
            ) from exc
        if not (folder / file).is_file():
            raise DataError(
                f"network {name!r}: the folder has no {file}; put that of the model's page there"
            ) from exc
        raise DataError(
            f"network {name!r}: transformers cannot read {file}: {_first_line(exc)}"
        ) from exc


def _model(name: str, config: Any, classes: int | None) -> "nn.Module":  # noqa: ANN401 - untyped
    """Build the class that a configuration names, with random weights in single precision."""
    import transformers

    build = _class_of(config, scores=classes is not None)
    if classes is not None:
        config.num_labels = classes
        build = build or transformers.AutoModelForImageClassification.from_config
    elif build is None:
        config = getattr(config, "vision_config", config)
        build = transformers.AutoModel.from_config
    try:
        model = build(config)
    except (ValueError, OSError, ImportError) as exc:
        raise DataError(
            f"network {name!r}: transformers cannot build it: {_first_line(exc)}"
        ) from exc
    if model.main_input_name != "pixel_values":
        raise DataError(
            f"network {name!r}: a {type(model).__name__} takes {model.main_input_name}; fstore "
            "extracts from networks of images"
        )
    return model.float().eval()  # type: ignore[no-any-return]


def _class_of(config: Any, *, scores: bool) -> Callable[..., Any] | None:  # noqa: ANN401 - untyped
    """Return the class that a configuration names, if it is one of images alone."""
    import transformers

    title = (getattr(config, "architectures", None) or [""])[0]
    build = getattr(transformers, title, None)
    if getattr(build, "main_input_name", "") != "pixel_values":
        return None
    whole = title.endswith("ForImageClassification")  # these take no text, whatever they are of
    fits = whole or not (hasattr(config, "vision_config") or (scores and "For" not in title))
    return build if fits else None


def _first_line(exc: Exception) -> str:
    return str(exc).strip().split("\n", 1)[0]


def _queries(config: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, StatedLayout]:  # noqa: ANN401 - untyped
    """Return which outputs are a detector's queries: as many tokens, which are no places."""
    queries = getattr(config, "num_queries", None)
    return {
        layer: "tokens"
        for layer, shape in shapes.items()
        if queries is not None and len(shape) == 3 and shape[1] == queries
    }


def _tokens(model: "nn.Module", size: int, shapes: Mapping[str, tuple[int, ...]]) -> Tokens | None:
    """Return what the tokens are, from the patches' size and the tokens put before them.

    Only where the last hidden state has just as many.
    """
    config: Any = model.config
    patch = getattr(config, "patch_size", None)
    if not isinstance(patch, int):
        return None
    side = size // patch
    prefix = sum(
        parameter.shape[1] if parameter.ndim == 3 else 1
        for path, parameter in model.named_parameters()
        if path.endswith(PREFIXES)
    )
    counts = [shape[1] for shape in shapes.values() if len(shape) == 3]
    return Tokens(prefix, side, side) if counts and counts[-1] == prefix + side**2 else None
