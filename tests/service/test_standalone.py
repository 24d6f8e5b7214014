"""A target without a run, for drills and `prodcheck wait`: clients with its rate and secrets."""

import os
import tempfile
from pathlib import Path

import pytest

from pytest_prodcheck.service.standalone import standalone_target
from tests.faulty import FaultyServer, json_answer


@pytest.mark.fault(144)
@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="files in memory are Linux'")
def test_requests_need_nothing_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyServer() as server:
        server.on("/ok", json_answer({}))
        (tmp_path / "prodcheck.toml").write_text(
            f'[targets.prod]\nbase_url = "{server.url}"\nrate = "100/s"\n'
        )
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
        with standalone_target("prod", root=tmp_path) as there, there.connect() as client:
            assert [client.get("/ok").status_code for _ in range(3)] == [200, 200, 200]
