"""Version numbers are never shared, and never half a folder."""

import itertools
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from jd_tf.serving.errors import ExportError
from jd_tf.serving.export import versions as versions_module
from jd_tf.serving.export.versions import (
    HIGHEST_FILE,
    aside,
    publish,
    resolve,
    versions,
)


def make(base, text="graph"):
    with aside(base) as folder:
        (folder / "variables").mkdir()
        (folder / "saved_model.pb").write_text(text)
        return publish(folder, base)


def test_racing_exports_get_a_number_each(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: make(tmp_path, str(i)), range(24)))
    assert sorted(int(folder.name) for folder in made) == list(range(1, 25))
    for text, folder in enumerate(made):
        assert (folder / "saved_model.pb").read_text() == str(text)
    names = {folder.name for folder in made}
    assert {p.name for p in tmp_path.iterdir()} == {*names, HIGHEST_FILE}


def test_two_racing_processes_get_a_number_each(tmp_path):
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from jd_tf.serving.export.versions import aside, publish\n"
        "base, name = Path(sys.argv[1]), sys.argv[2]\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "for number in range(25):\n"
        "    with aside(base) as folder:\n"
        "        text = f'{name} {number}'\n"
        "        (folder / 'saved_model.pb').write_text(text)\n"
        "        print(publish(folder, base).name, text, flush=True)\n"
    )
    base = tmp_path / "model"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(base), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = "".join(process.communicate()[0] for process in processes)
    made = dict(line.split(" ", 1) for line in printed.splitlines())
    assert sorted(map(int, made)) == list(range(1, 51))
    assert len(printed.splitlines()) == 50
    for number, text in made.items():
        assert (base / number / "saved_model.pb").read_text() == text
    owners = [made[str(n)].split()[0] for n in range(1, 51)]
    changes = sum(a != b for a, b in itertools.pairwise(owners))
    assert changes > 1, "they did not run at the same time"


def test_numbers_are_never_used_again(tmp_path):
    assert [make(tmp_path).name for _ in range(3)] == ["1", "2", "3"]
    shutil.rmtree(tmp_path / "3")
    shutil.rmtree(tmp_path / "2")
    assert make(tmp_path).name == "4"
    # A number that was copied here, and a file without a number.
    (tmp_path / "9").mkdir()
    assert make(tmp_path).name == "10"
    (tmp_path / HIGHEST_FILE).write_text("nonsense")
    assert make(tmp_path).name == "11"


def test_an_empty_folder_that_is_being_filled_is_left_alone(
    tmp_path, monkeypatch
):
    make(tmp_path)
    listed = versions_module.versions

    def list_then_copy(base):
        found = listed(base)
        (tmp_path / "2").mkdir(exist_ok=True)
        return found

    monkeypatch.setattr(versions_module, "versions", list_then_copy)
    assert make(tmp_path).name == "3"
    assert list((tmp_path / "2").iterdir()) == []


def test_numbers_end_where_a_servers_do(tmp_path):
    (tmp_path / str(2**63 - 1)).mkdir()
    with pytest.raises(ExportError, match="last number"):
        make(tmp_path)


def test_names_that_a_server_ignores_are_ignored(tmp_path):
    for name in ("007", "12", "13.tmp", "latest", "-3", "²", "1_0"):
        (tmp_path / name).mkdir()
    (tmp_path / str(2**63)).mkdir()
    assert list(versions(tmp_path)) == [7, 12]
    assert make(tmp_path).name == "13"


def test_highest_version_is_resolved(tmp_path):
    for _ in range(11):
        make(tmp_path)
    assert resolve(tmp_path).name == "11"
    assert resolve(tmp_path / "2").name == "2"
    (tmp_path / "12").mkdir()
    with pytest.raises(ExportError, match="half copied"):
        resolve(tmp_path)


def test_what_cannot_be_resolved_says_why(tmp_path):
    with pytest.raises(ExportError, match="no such folder"):
        resolve(tmp_path / "nothing")
    with pytest.raises(ExportError, match="neither a SavedModel"):
        resolve(tmp_path)
    make(tmp_path / "din")
    with pytest.raises(ExportError, match="Name one of its models: din"):
        resolve(tmp_path)


def test_killed_export_leaves_no_version(tmp_path):
    program = (
        "import sys, time\n"
        "from jd_tf.serving.export.versions import aside\n"
        "with aside(sys.argv[1]) as folder:\n"
        "    (folder / 'saved_model.pb').write_text('half')\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert versions(tmp_path) == {}
    assert not any(p.name.isdigit() for p in tmp_path.iterdir())
    assert make(tmp_path).name == "1"
