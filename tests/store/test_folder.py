"""A run's folder: whole files only, `latest` at one stroke, and a refusal before anything runs."""

import os
import subprocess
import sys

import pytest

from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.store.run_directory import Folder, drop_latest


@pytest.mark.fault(105)
def test_two_runs_have_two_folders_and_latest_is_the_newer(tmp_path):
    first, second = Folder.create(tmp_path), Folder.create(tmp_path)
    assert first.path != second.path
    assert (tmp_path / "latest").resolve() == second.path


@pytest.mark.fault(108)
def test_a_folder_that_cannot_be_is_refused(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match="Name a writable folder"):
        Folder.create(file)
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(UsageError, match="is a link to /etc: reports are not written through"):
        Folder.create(tmp_path / "link")
    (tmp_path / "blocked" / "latest").mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot hold the report"):
        Folder.create(tmp_path / "blocked")


@pytest.mark.fault(108)
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="Permission denied"):
        Folder.create(tmp_path)


def test_a_missing_folder_is_made(tmp_path):
    assert Folder.create(tmp_path / "a" / "b").work.is_dir()


@pytest.mark.fault(112)
def test_a_kill_at_any_time_leaves_the_old_file_or_the_new_one(tmp_path):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pytest_prodcheck.store.run_directory import Folder\n"
        "folder = Folder(Path(sys.argv[1]))\n"
        "print('go', flush=True)\n"
        "for number in range(10**9):\n"
        "    folder.write('verdict.json', f'{number % 10}' * 200_000)\n"
    )
    for attempt in range(20):
        writer = subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE)
        writer.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(0.02 + attempt / 2000)
        writer.kill()
        writer.communicate()
        content = (tmp_path / "verdict.json").read_text()
        assert content == content[0] * 200_000


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path):
    folder = Folder.create(tmp_path)
    folder.write("summary.md", "old")

    def fail(part):
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        folder.replace("summary.md", fail)
    folder.tidy()
    assert (folder.path / "summary.md").read_text() == "old"
    assert [path.name for path in folder.path.iterdir()] == ["summary.md"]


@pytest.mark.fault(59)
def test_a_run_that_could_not_begin_leaves_no_older_verdict_as_the_latest(tmp_path):
    older = Folder.create(tmp_path)
    drop_latest(tmp_path)
    assert not (tmp_path / "latest").exists()
    assert older.path.is_dir()


def test_text_that_is_no_unicode_is_written_all_the_same(tmp_path):
    Folder(tmp_path).write("summary.md", "\ud800")
    assert (tmp_path / "summary.md").read_text() == "\\ud800"
