"""Names in run files: refused with a sentence, or a folder below `output` that nothing of the
user's is lost in."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import ConfigError, CotiError, StoreError
from coti.core.whole_files import MARKER, whole_folder
from coti.experiments.result_tables import WRITTEN
from ops.experiment_file import check_experiment_file, require_results
from ops.run_file import check_run_file
from ops.stack.locations import LATEST, ROOT, require_run_folder, run_folder
from tests.coti.core.test_whole_files import NAMES, tree

MINIMAL = {"concept": "a", "seeds": "s", "pool": "p"}


@given(NAMES | st.sampled_from(["{date}", "../{time}", "Latest", "coti-{date}-{time}"]))
def test_a_run_name_is_refused_or_stays_below_the_output(name: str) -> None:
    """What the run file's check lets pass is a folder of its own beside the user's."""
    with tempfile.TemporaryDirectory() as place:
        path, output = Path(place, "run.yaml"), Path(place, "output")
        (output / "penguin").mkdir(parents=True)
        (output / "penguin" / "photo.png").write_bytes(b"mine")
        path.write_text(yaml.safe_dump({"run_name": name, "parameters": {"config": MINIMAL}}))
        before = tree(Path(place))
        try:
            check_run_file(path)
            require_run_folder(str(output), name)
        except CotiError:
            assert tree(Path(place)) == before
            return
        folder = run_folder(str(output), name)
        assert folder.parent == output
        assert not folder.exists()
        assert folder.name.casefold() != LATEST
        assert tree(Path(place)) == before


@pytest.mark.parametrize("name", ["..", ".", "latest", 5, "a/b", "x" * 201, ""])
def test_a_run_files_name_is_looked_at_before_zenml_reads_it(name: object, tmp_path: Path) -> None:
    """One sentence with the file's name."""
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"run_name": name, "parameters": {"config": MINIMAL}}))
    with pytest.raises(ConfigError, match=r"run\.yaml: run_name") as caught:
        check_run_file(path)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("concept", ["b" * 201, "ü" * 101, "a\nb", "a\x00"])
def test_a_concept_that_can_name_nothing_is_refused(concept: str, tmp_path: Path) -> None:
    """It names an experiment, a model and folders: found before a cycle, not after."""
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"parameters": {"config": {**MINIMAL, "concept": concept}}}))
    with pytest.raises(ConfigError, match="concept"):
        check_run_file(path)


def test_only_our_own_folder_and_link_are_replaced(tmp_path: Path) -> None:
    """`output: data` with `run_name: penguin` where the user's `data/penguin` lies, and so on."""
    require_run_folder(str(tmp_path), "new")
    with whole_folder(tmp_path / "ours", replace=True):
        pass
    require_run_folder(str(tmp_path), "ours")
    (tmp_path / "penguin").mkdir()
    (tmp_path / "penguin" / "photo.png").write_bytes(b"mine")
    with pytest.raises(StoreError, match="penguin is there already"):
        require_run_folder(str(tmp_path), "penguin")
    (tmp_path / LATEST).mkdir()
    with pytest.raises(StoreError, match="latest is no link of ours"):
        require_run_folder(str(tmp_path), "new")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file cannot be written \(.*\): free space"):
        require_run_folder(str(tmp_path / "file"), "new")
    assert (tmp_path / "ours" / MARKER).is_file()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../README"},
        {"name": ""},
        {"concepts": ["../ankle boot"]},
        {"made_pools": {"recipe": "../../x"}},
    ],
)
def test_an_experiments_names_are_plain(changes: dict[str, object], tmp_path: Path) -> None:
    """They name files and folders, too."""
    source = yaml.safe_load((ROOT / "configs/experiments/mini/table1.yaml").read_text())
    source["parameters"]["config"] |= changes
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(source))
    with pytest.raises(ConfigError, match=r"experiment\.yaml: .* is no plain name"):
        check_experiment_file(path)


def test_results_are_written_over_results_alone(tmp_path: Path) -> None:
    """`name: README` with `results: .` is refused; an earlier page of ours is not."""
    source = ROOT / "configs/experiments/mini/table1.yaml"
    config = check_experiment_file(source).model_copy(update={"results": str(tmp_path)})
    require_results(config)
    (tmp_path / f"{config.name}.png").write_bytes(b"mine")
    with pytest.raises(StoreError, match="no result of an experiment"):
        require_results(config)
    (tmp_path / f"{config.name}.md").write_text(f"# Title\n\n{WRITTEN}\n")
    require_results(config)
