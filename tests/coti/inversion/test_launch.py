"""The documented command for several GPUs, run: real processes by accelerate's own launcher.

There is no GPU here: the processes meet over gloo instead of NCCL. Without ``--multi_gpu``
accelerate starts several processes only where it finds several GPUs.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from coti.inversion.adapters.embedding import Embedding
from tests.warm_start import warm_start

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
IMAGES = ROOT / "assets" / "pools" / "ankle_boot" / "seeds"
STEPS = 6
BATCH = 4


def _documented() -> list[str]:
    """The words of the guide's command, from ``accelerate`` to the output file."""
    text = (ROOT / "docs" / "guides" / "stable_diffusion.md").read_text(encoding="utf-8")
    found = re.search(r"`(accelerate launch [^`]+)`", text)
    assert found, "the guide names no accelerate launch"
    return found[1].split()


def _config(folder: Path, **train: Any) -> Path:
    """A run file for the bundled model and a few steps."""
    config = {
        "concept": "ankle boot",
        "seeds": str(IMAGES),
        "pool": str(IMAGES),
        "model": {"device": "cpu", "dtype": "float32"},
        "token": {"placeholder_token": "<ankle-boot>", "initializer": "foot", "num_vectors": 2},
        "train": {"max_steps": STEPS, "batch_size": BATCH, "learning_rates": [0.05], **train},
    }
    path = folder / f"{'-'.join(train) or 'plain'}.yaml"
    path.write_text(yaml.safe_dump({"parameters": {"config": config}}), encoding="utf-8")
    return path


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def _run(words: list[str], folder: Path) -> str:
    """What a command of the virtual environment says; ``folder`` keeps accelerate's settings."""
    environment = {name: value for name, value in os.environ.items() if name != "WORLD_SIZE"}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HOME": str(folder / "hf")}
    done = subprocess.run(
        [str(Path(sys.executable).with_name(words[0])), *words[1:]],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_documented_command_trains_one_embedding_on_two_processes(tmp_path: Path) -> None:
    """Both share each step: one process with twice the accumulation gives the same vectors up to
    rounding, one with the same batch gives others; the file is written and told once."""
    launched, alone, half = (tmp_path / f"{n}.safetensors" for n in ("two", "one", "half"))
    words = _documented()
    assert words[:2] == ["accelerate", "launch"]
    assert words[words.index("--num_processes") + 1] == "2"
    values = {"IMAGES": str(IMAGES), "configs/sd2.yaml": str(_config(tmp_path))}
    words = [values.get(word, word) for word in words]
    words[words.index("--output") + 1] = str(launched)
    words[2:2] = ["--main_process_port", _free_port()]
    said = _run(words, tmp_path)
    assert said.count(str(launched)) == 1
    assert f"{STEPS} steps, {2 * STEPS * BATCH} image-steps." in said

    doubled = _config(tmp_path, gradient_accumulation_steps=2)
    train = str(Path(sys.executable).with_name("coti"))
    for config, path, factor in ((doubled, alone, 2), (_config(tmp_path), half, 1)):
        given = [train, "train", str(IMAGES), "-c", str(config), "--output", str(path)]
        done = warm_start().run(given, ROOT, {**os.environ, "OMP_NUM_THREADS": "1"})
        assert f"{factor * STEPS * BATCH} image-steps." in done.stdout, done.stderr

    two, one, other = (Embedding.load(path).parts[0] for path in (launched, alone, half))
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-4)
    assert float((two - other).abs().max()) > 1e-2


def test_one_process_where_several_were_asked_for_is_said(tmp_path: Path) -> None:
    """What accelerate does without ``--multi_gpu``, and by what the process knows it."""
    script = tmp_path / "train.py"
    script.write_text("from coti.inversion.processes import Processes; Processes()")
    with pytest.raises(AssertionError, match=r"Give --multi_gpu as well"):
        _run(["accelerate", "launch", "--num_processes", "2", str(script)], tmp_path)
