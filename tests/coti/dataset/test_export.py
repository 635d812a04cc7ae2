"""An exported set is what its trainer reads, byte for byte what was chosen."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import ConfigError, PoolError, StoreError
from coti.dataset.chosen_set import ChosenSet, read_set, write_set
from coti.dataset.export import export_set
from coti.dataset.set_table import set_table, table_of_run
from coti.dataset.trainers import TRAINERS
from coti.dataset.trainers.buckets import bucket
from coti.dataset.trainers.captions import with_trigger
from coti.dataset.trainers.toml_text import toml_lines
from coti.pool.ingest import ingest
from coti.pool.manifest import read_manifest
from coti.pool.open_source import open_source
from coti.pool.originals import originals
from coti.pool.sources.object_store import S3Source
from coti.settings import PoolSettings
from tests.coti.pool.conftest import encoded, image
from tests.coti.pool.hostile_server import HostileServer, hostile_server
from tests.coti.pool.s3_server import ACCESS, SECRET, client, s3_server
from tests.coti.pool.test_fetch import SETTINGS as FETCH
from tests.coti.pool.test_fetch import table_of
from tests.coti.pool.test_shards import stats, write_tar

RULES = PoolSettings(workers=1, read_threads=2, near_duplicate_bits=-1)
WIDE, HIGH = encoded(image(1, (90, 60)), "JPEG"), encoded(image(2, (40, 60)))
MASK = encoded(image(3, (90, 60)).convert("L"))


def chosen_of(place: Path | str, rules: PoolSettings = RULES) -> ChosenSet:
    """A set of every usable image of a pool, nothing scored: what is exported is the same."""
    read = ingest(str(place), rules, 16)
    manifest = read.manifest
    good = [str(name) for name in manifest["id"][manifest["status"] == "accepted"]]
    scores = pd.DataFrame({"id": good, "held_back": "", "score": range(len(good), 0, -1)})
    table = set_table(manifest, str(place), scores, dict.fromkeys(good, 0))
    return ChosenSet("red boot", str(place), read.kind, rules, "nobody", table)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ChosenSet]:
    """A folder with a pool and its set as `coti curate` leaves it, and the set.

    Two images of two shapes: one with a caption, a licence and a mask, one with none of them."""
    root = tmp_path_factory.mktemp("made")
    sidecar = json.dumps({"caption": 'a "red"\nboot', "license": "cc-by"}).encode()
    files = {"wide.jpg": WIDE, "high.png": HIGH, "wide.mask.png": MASK, "wide.json": sidecar}
    (root / "pool").mkdir()
    for name, content in {**files, "bad.jpg": b"no image"}.items():
        (root / "pool" / name).write_bytes(content)
    chosen = chosen_of(root / "pool")
    (root / "set").mkdir()
    write_set(root / "set", chosen, originals(open_source(chosen.pool, RULES), chosen.chosen))
    return root, chosen


@pytest.fixture
def saved(made: tuple[Path, ChosenSet], tmp_path: Path) -> ChosenSet:
    """The set, its pool gone since: it lies in ``elsewhere``."""
    shutil.copytree(made[0] / "set", tmp_path / "set")
    shutil.copytree(made[0] / "pool", tmp_path / "elsewhere")
    return replace(read_set(tmp_path / "set"), pool=str(tmp_path / "pool"))


def kohya(folder: Path) -> None:
    """sd-scripts: images right in the folder, a caption by its extension, else class_tokens."""
    dataset = tomllib.loads((folder / "dataset.toml").read_text("utf-8"))
    (one,) = dataset["datasets"]
    (subset,) = one["subsets"]
    assert subset["class_tokens"] == "bxt red boot"
    assert "conditioning_data_dir" not in subset  # masks of some are refused there
    assert (one["enable_bucket"], one["resolution"]) == (True, 1024)
    assert one["min_bucket_reso"] % 64 == one["max_bucket_reso"] % 64 == 0
    assert one["min_bucket_reso"] < 1024 < one["max_bucket_reso"]
    images = folder / subset["image_dir"]
    captions = {path.name: path.read_text("utf-8") for path in images.glob("*.txt")}
    assert captions == {"0002.txt": 'bxt, a "red" boot\n'}
    train = tomllib.loads((folder / "train.toml").read_text("utf-8"))
    assert (train["dataset_config"], train["output_name"]) == ("dataset.toml", "red_boot")


def ai_toolkit(folder: Path) -> None:
    """[trigger] in the texts, the word in the job."""
    (process,) = yaml.safe_load((folder / "train.yaml").read_text("utf-8"))["config"]["process"]
    (dataset,) = process["datasets"]
    assert (process["trigger_word"], dataset["mask_path"]) == ("bxt", "masks")
    images = folder / dataset["folder_path"]
    assert (images / "0002.txt").read_text("utf-8") == '[trigger], a "red" boot\n'
    assert (images / "0001.txt").read_text("utf-8") == "[trigger] red boot\n"
    assert [path.name for path in (folder / "masks").iterdir()] == ["0002.png"]


def onetrainer(folder: Path) -> None:
    """Masks beside the images, by the name that it looks for."""
    config = json.loads((folder / "train.json").read_text("utf-8"))
    (concept,) = json.loads((folder / config["concept_file_name"]).read_text("utf-8"))
    assert (concept["text"]["prompt_source"], config["masked_training"]) == ("sample", True)
    assert (folder / concept["path"] / "0002-masklabel.png").read_bytes() == MASK
    assert (folder / concept["path"] / "0002.txt").read_text("utf-8") == 'bxt, a "red" boot\n'


def simpletuner(folder: Path) -> None:
    """A backend of images and one of texts, which is the default."""
    config = json.loads((folder / "config" / "config.json").read_text("utf-8"))
    backends = json.loads((folder / config["data_backend_config"]).read_text("utf-8"))
    kinds = [backend["dataset_type"] for backend in backends]
    assert kinds == ["image", "text_embeds"]  # a mask of every image, or none
    assert (
        backends[0]["minimum_aspect_ratio"]
        < 40 / 60
        < 90 / 60
        < backends[0]["maximum_aspect_ratio"]
    )
    assert (folder / backends[0]["instance_data_dir"] / "0001.txt").is_file()
    assert backends[1]["default"] is True


def diffusion_pipe(folder: Path) -> None:
    """The range of shapes, masks where there are some."""
    train = tomllib.loads((folder / "train.toml").read_text("utf-8"))
    dataset = tomllib.loads((folder / train["dataset"]).read_text("utf-8"))
    (directory,) = dataset["directory"]
    assert (dataset["min_ar"], dataset["max_ar"], directory["mask_path"]) == (0.66, 1.5, "masks")
    assert (folder / directory["path"] / "0001.txt").read_text("utf-8") == "bxt red boot\n"
    assert train["adapter"]["type"] == "lora"


def diffusers(folder: Path) -> None:
    """An imagefolder: every file named once, every name a file, nothing else there."""
    lines = (folder / "train" / "metadata.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["text"] for row in rows] == ["bxt red boot", 'bxt, a "red" boot']
    named = {row["file_name"] for row in rows} | {"metadata.jsonl"}
    assert named == {path.name for path in (folder / "train").iterdir()}
    assert "--train_data_dir=." in (folder / "train.sh").read_text("utf-8")


def fal(folder: Path) -> None:
    """One flat archive: images, texts of their names, masks beside them."""
    with zipfile.ZipFile(folder / "dataset.zip") as archive:
        names = sorted(archive.namelist())
        assert names == ["0001.png", "0001.txt", "0002.jpg", "0002.txt", "0002_mask.png"]
        assert archive.read("0002.jpg") == WIDE
    assert not (folder / "dataset").exists()
    assert json.loads((folder / "request.json").read_text("utf-8"))["trigger_word"] == "bxt"


LAYOUTS = {
    "diffusers": diffusers,
    "kohya": kohya,
    "ai-toolkit": ai_toolkit,
    "onetrainer": onetrainer,
    "simpletuner": simpletuner,
    "diffusion-pipe": diffusion_pipe,
    "fal": fal,
}


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_a_trainer_gets_its_layout(saved: ChosenSet, tmp_path: Path, name: str) -> None:
    """As its documentation has it; the bytes as they were, the licence counted, nothing absolute,
    and no pool needed. Our own check reads it as a pool with its captions."""
    folder = tmp_path / "out"
    done = export_set(saved, name, folder, trigger="bxt")
    assert (done.images, done.licenses) == (2, {"not stated": 1, "cc-by": 1})
    LAYOUTS[name](folder)
    table = read_manifest(folder, {"image": "string"})
    if name != "fal":
        found = {path: (folder / path).read_bytes() for path in table["image"]}
        assert sorted(found.values()) == sorted([HIGH, WIDE])
        read = open_source(str((folder / table["image"][0]).parent), RULES).entries()
        captions = {each.name: each.caption.strip() for each in read}
        assert captions["0002.jpg"].endswith('a "red" boot')
    sheet = (folder / "DATASHEET.md").read_text("utf-8")
    for local in (saved.pool, *saved.table["address"]):
        assert local not in sheet, "it is passed on: nothing of the machine"
    assert "| cc-by | 1 |" in sheet
    assert "not_an_image" in sheet.replace("\\", "")
    for path in folder.rglob("*.[tjy]*"):
        if path.suffix in (".toml", ".json", ".yaml"):
            assert str(tmp_path) not in path.read_text("utf-8"), path
    with pytest.raises(StoreError, match="is there already"):
        export_set(saved, name, folder)


def test_every_trainer_is_tested() -> None:
    """And no other; a name that is none names them."""
    assert list(LAYOUTS) == TRAINERS.names()


def test_what_cannot_be_exported_is_said(saved: ChosenSet, tmp_path: Path) -> None:
    """Nothing is written: no such trainer, no word, no image of a kind that is read, no set."""
    with pytest.raises(ConfigError, match="no trainer 'x': take one of diffusers, kohya"):
        export_set(saved, "x", tmp_path / "out")
    with pytest.raises(ConfigError, match="is no word"):
        export_set(saved, "kohya", tmp_path / "out", trigger='a"b')
    odd = replace(saved, table=saved.table.assign(format="GIF"))
    with pytest.raises(PoolError, match="no image for kohya's sd-scripts: GIF is nothing that it"):
        export_set(odd, "kohya", tmp_path / "out")
    with pytest.raises(StoreError, match="holds no set"):
        read_set(tmp_path)
    (tmp_path / "set.json").write_text('{"format": 2}')
    with pytest.raises(StoreError, match="of another release"):
        read_set(tmp_path)
    assert not (tmp_path / "out").exists()


def test_an_image_that_left_the_set_is_read_from_the_pool(saved: ChosenSet, tmp_path: Path) -> None:
    """By its hash; where it is gone there, too, or has changed, nothing is written."""
    assert saved.folder is not None
    (saved.folder / "images/0001.png").write_bytes(b"changed")
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(PoolError, match=f"The pool {str(tmp_path / 'pool')!r} does not exist"):
        export_set(saved, "kohya", tmp_path / "out")
    assert export_set(saved, "kohya", tmp_path / "out", pool=str(elsewhere)).images == 2
    (elsewhere / "high.png").write_bytes(WIDE)
    with pytest.raises(PoolError, match=r"pool: high\.png is another file since it was picked"):
        export_set(saved, "kohya", tmp_path / "more", pool=str(elsewhere))
    (elsewhere / "high.png").unlink()
    with pytest.raises(PoolError, match=r"pool: high\.png is gone since it was picked"):
        export_set(saved, "kohya", tmp_path / "more", pool=str(elsewhere))
    assert not (tmp_path / "more").exists()


def test_a_set_that_somebody_sent_runs_and_reaches_nothing(
    made: tuple[Path, ChosenSet], tmp_path: Path
) -> None:
    """No class of its choosing is imported, no server or host of its choosing is asked, no owner's
    refusal is passed over, no limit is its own."""
    own = replace(
        RULES,
        kind="os:system",
        s3_endpoint="http://10.0.0.5:9000",
        max_bytes=10**9,
        workers=99,
        animated="first_frame",
        fetch=replace(RULES.fetch, allowed_networks=("10.0.0.0/8",), opt_out=(), host_delay=0.0),
    )
    chosen = replace(made[1], rules=own)
    write_set(tmp_path, chosen, ())
    read = read_set(tmp_path)
    assert read.rules == PoolSettings(animated="first_frame")


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    """Serves one image under any number."""
    with hostile_server(HIGH) as running:
        yield running


def shards(root: Path) -> tuple[Path, PoolSettings]:
    """Two, one a folder down."""
    write_tar(root / "00000.tar", {"a.jpg": WIDE, "a.txt": b"a caption", "a.mask.png": MASK})
    write_tar(root / "deep/00001.tar", {"b.png": HIGH})
    return root, RULES


def img2dataset(root: Path) -> tuple[Path, PoolSettings]:
    """A shard as an archive, one as a table with its images."""
    rows = pd.DataFrame({"key": ["000000000"], "status": ["success"], "url": ["http://x/0"]})
    write_tar(root / "00000.tar", {"000000000.jpg": WIDE})
    rows.to_parquet(root / "00000.parquet")
    rows.assign(key=["000010000"], jpg=[HIGH]).to_parquet(root / "00001.parquet")
    for name in ("00000", "00001"):
        stats(root / f"{name}_stats.json", 1)
    return root, RULES


@pytest.mark.parametrize("make", [shards, img2dataset], ids=["shards", "img2dataset"])
def test_an_archive_is_read_where_its_bytes_lie(
    tmp_path: Path, make: Callable[[Path], tuple[Path, PoolSettings]]
) -> None:
    """The manifest says file, member and first byte; a set without images is read from there."""
    place, rules = make(tmp_path / "pool")
    chosen = chosen_of(place, rules)
    for row in chosen.chosen.to_dict("records"):
        if row["offset"]:
            content = (place / row["file"]).read_bytes()
            assert content[row["offset"] :][: row["bytes"]] in (WIDE, HIGH)
            assert content[row["offset"] - 512 :].startswith(row["member"].encode())
    assert set(chosen.chosen["file"].map(bool)) == {True}
    export_set(chosen, "kohya", tmp_path / "out")
    found = [path.read_bytes() for path in sorted((tmp_path / "out/images").glob("*.[jp]*"))]
    assert sorted(found) == sorted([WIDE, HIGH])
    masks = list((tmp_path / "out").glob("masks/*"))
    assert [mask.read_bytes() for mask in masks] == ([MASK] if make is shards else [])


def test_rows_of_a_table_are_fetched_again_alone(server: HostileServer, tmp_path: Path) -> None:
    """Two of ten that were chosen are asked for, by the owner's rules of the day."""
    rules = replace(RULES, fetch=replace(FETCH, shard_size=4), max_quarantined_share=1.0)
    table = table_of([server.url(f"good/{n}") for n in range(10)], tmp_path / "pool.csv")
    whole = chosen_of(table, rules)
    two = whole.table["source"].isin(["pool.csv#2", "pool.csv#7"])
    chosen = replace(whole, table=whole.table[two].assign(order=range(1, 3)))
    assert list(chosen.table["address"]) == [server.url("good/2"), server.url("good/7")]
    before = dict(server.hits)
    assert export_set(chosen, "kohya", tmp_path / "out").images == 2
    asked = {path: count - before[path] for path, count in server.hits.items()}
    assert {path for path, count in asked.items() if count} == {"good/2", "good/7"}


@pytest.mark.slow
def test_objects_of_a_store_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of a prefix, and members of its shards; a real S3 server."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    tar = write_tar(tmp_path / "x.tar", {"a.jpg": WIDE, "b.png": HIGH}).read_bytes()
    (tmp_path / "weed").mkdir()
    with s3_server(tmp_path / "weed") as endpoint:
        store = client(endpoint)
        store.create_bucket(Bucket="web")
        objects = {"loose/a.jpg": WIDE, "loose/b.png": HIGH, "tars/0.tar": tar}
        for key, body in objects.items():
            store.put_object(Bucket="web", Key=key, Body=body)
        rules = replace(RULES, s3_endpoint=endpoint)
        for prefix, first in (("loose", "a.jpg"), ("tars", "0.tar")):
            chosen = chosen_of(f"s3://web/{prefix}", rules)
            assert chosen.chosen["address"].iloc[0] == f"s3://web/{prefix}/{first}"
            folder = tmp_path / prefix
            folder.mkdir()
            write_set(folder, chosen, ())
            with monkeypatch.context() as copied:  # no archive is, for two of its members
                copied.setattr(S3Source, "_copied", None)
                again = replace(read_set(folder), rules=rules)  # whose server is the user's to say
                export_set(again, "kohya", tmp_path / f"{prefix}_out")
            images = sorted((tmp_path / f"{prefix}_out/images").glob("*.[jp]*"))
            assert sorted(path.read_bytes() for path in images) == sorted([WIDE, HIGH])
        moved = write_tar(tmp_path / "y.tar", {"0.txt": b"", "a.jpg": WIDE, "b.png": HIGH})
        store.put_object(Bucket="web", Key="tars/0.tar", Body=moved.read_bytes())
        tars, loose = (
            replace(read_set(tmp_path / name), rules=rules) for name in ("tars", "loose")
        )
        assert export_set(tars, "kohya", tmp_path / "moved").images == 2
        store.put_object(Bucket="web", Key="loose/a.jpg", Body=HIGH)
        with pytest.raises(PoolError, match=r"a\.jpg is another file since it was picked"):
            export_set(loose, "kohya", tmp_path / "again")


def test_a_runs_set_is_x_t_of_the_kept_cycle(made: tuple[Path, ChosenSet]) -> None:
    """With the scores by which each was picked; what the last kept selection held back has its
    reason."""
    manifest = made[1].table
    good = [str(name) for name in manifest["id"][manifest["status"] == "accepted"]]
    score = pd.DataFrame({"id": good, "score": [2.0, 1.0], "held_back": ["", "dark"]})
    later = score.assign(score=[0.5, 3.0])
    tables = [score, later], [score[:1], later[1:]]
    kept = table_of_run(manifest, "pool", *tables, first_cycle=1, kept_cycle=1)
    picked = kept[kept["order"] > 0]
    assert (list(picked["id"]), list(picked["cycle"]), list(picked["score"])) == (
        good[:1],
        [1],
        [2],
    )
    assert "dark" in set(kept["why"])
    both = table_of_run(manifest, "pool", *tables, first_cycle=1, kept_cycle=2)
    assert list(both["score"][:2]) == [2.0, 3.0]
    none = table_of_run(manifest, "pool", *tables, first_cycle=1, kept_cycle=0)
    assert not (none["order"] > 0).any()


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([512, 768, 1024]))
def test_a_bucket_has_the_shape_and_no_more_area(width: int, height: int, side: int) -> None:
    """Sides in steps; no larger than the square, unless a side would be nothing."""
    wide, high = bucket(width, height, side)
    assert wide % 64 == high % 64 == 0
    assert wide * high <= side * side or min(wide, high) == 64
    if width >= height:
        assert wide >= high


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
def test_the_trigger_is_said_once(caption: str) -> None:
    """And nothing of the caption is lost."""
    said = with_trigger(caption, "bxt")
    assert len(re.findall(r"(?<!\w)bxt(?!\w)", said, re.I)) >= 1
    assert said.endswith(caption)
    assert with_trigger(said, "bxt") == said


@given(
    st.text(st.characters(exclude_categories=["Cs"]))
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
)
def test_toml_is_read_as_it_was(value: Any) -> None:
    """By Python's own reader."""
    assert tomllib.loads(toml_lines({"a": value, "b": [value]})) == {"a": value, "b": [value]}
