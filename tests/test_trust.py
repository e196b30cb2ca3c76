"""A store that comes from elsewhere names networks: their code is not run before one agrees."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from _cli import run
from _given import NETS, Given
from fstore.errors import TrustError
from fstore.extractor.networks._libraries import LIBRARIES
from fstore.extractor.networks._torchvision import PREFIX
from fstore.store import Store
from fstore.trust import LIBRARIES as TRUSTED
from fstore.trust import code_file
from fstore.workflows import init_checkpoint, load_network
from fstore.workflows.train.judge import evaluate


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Given:
    """Make a store as one user."""
    folder = tmp_path_factory.mktemp("given")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "theirs"))
        return Given(folder)


@pytest.fixture
def given(made: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Given:
    """Copy the store to another user."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "mine"))
    shutil.copytree(made.nets.parent / "store", tmp_path / "store")
    made.nets.write_text(NETS)
    made.store = Store.open(tmp_path / "store")
    made.forget()
    return made


COMMANDS: dict[str, list[str]] = {
    "extract": ["extract", "--layer", "conv", "--ckpt", "c", "--dataset", "d"],
    "verify": ["verify"],
    "index": ["index"],
    "finetune": ["train", "finetune", "--dataset", "d", "--from", "c", "--iterations", "1"],
    "layers": ["sql", "SELECT count(*) FROM layers"],
    "analyze": ["analyze", "selectivity", "--layer", "conv", "--ckpt", "c", "--dataset", "d",
                "--view", "image"],
    "refresh": ["report", "refresh"],
    "list": ["report", "list"],
    "show": ["ckpt", "show", "c"],
    "status": ["status"],
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_a_strangers_network_is_not_run(given: Given, name: str) -> None:
    """No command that names no network runs the code that the store names."""
    result = run(given.store, *COMMANDS[name])
    assert not given.ran, result.output
    assert result.exit_code in (0, 1), result.output  # typed as it should be
    assert "fault of fstore" not in result.output
    assert not (given.store.path.parent / "mine").exists()


@pytest.mark.parametrize("name", ["extract", "finetune"])
def test_the_refusal_has_the_command_that_allows_it(given: Given, name: str) -> None:
    """What is refused says which code it is; the command that it names mends it, for later, too."""
    refused = run(given.store, *COMMANDS[name])
    assert refused.exit_code == 1
    assert f"fstore ckpt trust {given.network}" in refused.output
    assert run(given.store, "ckpt", "trust", given.network).exit_code == 0
    assert not given.ran
    run(given.store, *COMMANDS[name])
    assert given.ran


CALLS: dict[str, Callable[[Store], object]] = {
    "load": lambda s: load_network(s, s.find_checkpoint("c")),
    "evaluate": lambda s: evaluate(s, "c", dataset="d"),
}


@pytest.mark.parametrize("name", CALLS)
def test_python_asks_too(given: Given, name: str) -> None:
    """A call that would build the network raises; a store that is opened with trust does not."""
    with pytest.raises(TrustError, match="nobody here has said"):
        CALLS[name](given.store)
    assert not given.ran
    load_network(given.store.open(given.store.path, trust=True), given.store.find_checkpoint("c"))
    assert given.ran


@pytest.mark.parametrize("how", ["--network", "FSTORE_TRUST"])
def test_whoever_names_it_agrees(given: Given, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that is named on the command line, or a setting for all of them, is consent."""
    named = ["--network", given.network] if how == "--network" else []
    if not named:
        monkeypatch.setenv(how, "1")
    result = run(given.store, *COMMANDS["extract"], *named)
    assert given.ran, result.output


def test_consent_ends_when_the_code_changes(given: Given) -> None:
    """A file that was changed after one agreed is asked about again; its maker agrees by use."""
    run(given.store, "ckpt", "trust", given.network)
    given.nets.write_text(NETS + "\n# more\n")
    refused = run(given.store, *COMMANDS["extract"])
    assert "has changed since it was trusted" in refused.output
    assert not given.ran
    assert run(given.store, "ckpt", "trust", given.network).exit_code == 0
    load_network(Store.open(given.store.path), given.store.find_checkpoint("c"))


def test_who_made_a_checkpoint_is_not_asked(given: Given) -> None:
    """Drawing weights names the network: the store is the maker's own from then on."""
    init_checkpoint(given.store, network=given.network, name="mine")
    given.forget()
    load_network(Store.open(given.store.path), given.store.find_checkpoint("c"))
    assert given.ran


def test_a_module_is_looked_for_without_running_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of a module in a package is told, and neither is imported."""
    package = tmp_path / "strange_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('ran')\n")
    (package / "nets.py").write_text("raise SystemExit('ran')\n")
    monkeypatch.chdir(tmp_path)
    assert code_file("strange_package.nets:small") == package / "nets.py"
    assert code_file("strange_package.other:small") is None


def test_what_needs_no_consent_is_a_library() -> None:
    """Prefixes that are trusted are those of libraries: none falls through to a user's module."""
    assert {entry.name for entry in LIBRARIES} | {PREFIX.rstrip(":")} == TRUSTED
