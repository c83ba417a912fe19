"""Version numbers are never shared, and never half a folder."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from jd_tf.serving.errors import ExportError
from jd_tf.serving.versions import aside, publish, resolve, versions


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
    assert {p.name for p in tmp_path.iterdir()} == {f.name for f in made}


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
        "from jd_tf.serving.versions import aside\n"
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
