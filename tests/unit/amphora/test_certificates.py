# SPDX-License-Identifier: Apache-2.0
"""Which changes among certificates are said at run time, and how; and that files stay in memory-backed storage."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from octavia_amphora.apply import certificates, changes, runtime_certificates
from octavia_amphora.apply.disk import Disk, PushRecord
from octavia_amphora.apply.errors import PushRefused
from octavia_amphora.apply.files import Files
from octavia_amphora.apply.runtime_certificates import RuntimeCertificates
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.wire import config
from octavia_amphora.wire.config import Configuration, Datagrams, File, Frontend, file
from octavia_amphora.wire.messages import VersionStamp


def made(*listed: str, **contents: str) -> Configuration:
    kinds = {"ca": "ca", "crl": "crl"}
    files = {name: file(name, kinds.get(name, "certificate"), text) for name, text in contents.items()}  # type: ignore[arg-type]
    return Configuration("lb", "", {"f": Frontend("f", "", (), listed)}, {}, files)


def said(old: Configuration, new: Configuration) -> list[str] | None:
    found = certificates.commands(old, new, "/x", lambda one: one.content)
    return None if found is None else [one.text for one in found]


def test_a_udp_listener_that_comes_or_goes_is_not_told_to_haproxy() -> None:
    old = made("a", a="1")
    udp = Frontend("u", "", datagrams=Datagrams())
    new = msgspec.structs.replace(old, frontends={**old.frontends, "u": udp})
    assert said(old, new) == said(new, old) == []
    assert changes.commands(old, new, frozenset()) == changes.commands(new, old, frozenset()) == []


def test_a_new_content_is_set_and_committed() -> None:
    assert said(made("a", a="1", ca="1", crl="1"), made("a", a="2", ca="2", crl="2")) == [
        "set ssl cert /x/a", "commit ssl cert /x/a", "set ssl ca-file /x/ca", "commit ssl ca-file /x/ca",
        "set ssl crl-file /x/crl", "commit ssl crl-file /x/crl",
    ]  # fmt: skip


def with_server(options: str, **contents: str) -> Configuration:
    server = config.Server("s", "10.0.0.1", 443, options=options)
    return msgspec.structs.replace(made(**contents), backends={"b": config.Backend("b", "p", "", {"s": server})})


def test_servers_without_a_certificate_hear_of_authorities_by_a_reload_alone() -> None:
    verified = "ssl verify required ca-file ca crl-file crl"
    for changed in ({"ca": "2", "crl": "1"}, {"ca": "1", "crl": "2"}):
        assert said(with_server(verified, ca="1", crl="1"), with_server(verified, **changed)) is None
        heard = said(with_server(f"{verified} crt a", ca="1", crl="1"), with_server(f"{verified} crt a", **changed))
        assert heard is not None
        assert len(heard) == 2
        assert said(with_server("ssl verify none", ca="1", crl="1"), with_server("ssl verify none", **changed))


def test_a_certificate_with_names_of_its_own_joins_a_list__and_other_names_are_a_reload() -> None:
    def named(configuration: Configuration, **names: tuple[str, ...]) -> Configuration:
        front = msgspec.structs.replace(configuration.frontends["f"], names=names)
        return msgspec.structs.replace(configuration, frontends={"f": front})

    one, two = made("a", a="1"), named(made("a", "b", a="1", b="1"), b=("*.x", "!a.x"))
    told = certificates.commands(one, two, "/x", lambda one: one.content)
    assert told is not None
    assert (told[-1].text, told[-1].payload) == ("add ssl crt-list /x/f.list", "/x/b *.x !a.x")
    assert said(two, one) == ["del ssl crt-list /x/f.list /x/b", "del ssl cert /x/b"]
    assert said(made("a", "b", a="1", b="1"), two) is None
    assert said(one, named(made("a", "b", a="1", b="1"), a=("a.x",))) is None


def test_a_certificate_joins_a_list_and_leaves_it() -> None:
    one, two = made("a", a="1"), made("a", "b", a="1", b="1")
    assert said(one, two) == [
        "new ssl cert /x/b", "set ssl cert /x/b", "commit ssl cert /x/b", "add ssl crt-list /x/f.list /x/b",
    ]  # fmt: skip
    assert said(two, one) == ["del ssl crt-list /x/f.list /x/b", "del ssl cert /x/b"]
    assert said(one, one) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (made("a", "b", a="1", b="1"), made("b", "a", a="1", b="1")),  # another default
        (made("a", "b", "c", a="1", b="1", c="1"), made("a", "c", "b", a="1", b="1", c="1")),
        (made("a", "b", a="1", b="1"), made("a", "c", "b", a="1", b="1", c="1")),  # before one that stays
        (made("a", a="1"), made("a", a="1", ca="1")),  # who names it?
        (made("a", a="1"), made("a", a="x" * 16_000)),  # larger than haproxy's buffer
    ],
)
def test_what_is_a_reload(old: Configuration, new: Configuration) -> None:
    assert said(old, new) is None


def test_keys_are_never_shown() -> None:
    old, new = made("a", a="1"), made("a", a="-----KEY-----")
    found = certificates.commands(old, new, "/x", lambda one: one.content)
    assert "-----KEY-----" not in f"{found!r} {new!r} {config.difference(old, new)!r}"


def test_a_digest_is_that_of_the_bare_configuration() -> None:
    whole = made("a", a="1")
    assert config.digest(whole) == config.digest(config.without_contents(whole)) != config.digest(made("a", a="2"))
    delta = config.difference(config.without_contents(whole), made("a", "b", a="1", b="1"))
    assert [one.name for one in delta.set_files] == ["b"]
    assert config.digest(config.apply(config.without_contents(whole), delta)) == config.digest(
        made("a", "b", a="1", b="1")
    )


def test_contents_are_in_memory_alone(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "state", tmp_path / "run")
    paths.create()
    files = Files(paths)
    bare = files.store(made("a", a="-----KEY-----"))
    disk = Disk(paths.state)
    disk.save_newest(PushRecord(VersionStamp(0, 0, 1, 1, config.digest(bare)), bare))
    assert b"KEY" not in (paths.state / "newest.json").read_bytes()
    files.link_files(bare, paths.files)
    assert (paths.files / "a").read_text() == "-----KEY-----"
    assert (paths.files / "f.list").read_text() == "a\n"
    assert (paths.files / "a").stat().st_mode & 0o777 == 0o600
    files.remove_unused(None)
    assert list(paths.contents.iterdir()) == []
    assert not files.has_contents(bare)
    with pytest.raises(PushRefused, match="Push the whole"):
        files.store(bare)
    with pytest.raises(PushRefused, match="a reboot"):
        files.link_files(bare, paths.files)


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (File("../a", "ca", "0", "x"), "is not the name or the digest"),
        (File("a", "ca", "../0", "x"), "is not the name or the digest"),
        (File("a", "ca", "0", "x"), "has not the digest"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(tmp_path: Path, one: File, says: str) -> None:
    paths = Paths(tmp_path / "state", tmp_path / "run")
    paths.create()
    configuration = msgspec.structs.replace(made(), files={one.name: one})
    with pytest.raises(PushRefused, match=says):
        Files(paths).store(configuration)


async def test_a_worker_lets_go_of_so_many_certificates__then_a_reload_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """haproxy keeps the memory of each; a certificate that joins, or whose content changes, costs none."""

    async def done(*_: object) -> str:
        return "New empty transaction Success! deleted in crtlist, deleted!"

    monkeypatch.setattr(runtime_certificates.runtime, "execute_with_payload", done)
    monkeypatch.setattr(runtime_certificates, "MAX_REMOVALS", 3)
    paths = Paths(tmp_path / "state", tmp_path / "run")
    paths.create()
    files = Files(paths)
    one, two, other = made("a", a="1"), made("a", "b", a="1", b="1"), made("a", "b", a="1", b="2")
    for each in (one, two, other):
        files.store(each)
    teller = RuntimeCertificates(paths, files)

    async def told(workers: int, times: int) -> list[bool | None]:
        found = []
        for _ in range(times):
            assert await teller.update(one, two, (workers,)) is True
            assert await teller.update(two, other, (workers,)) is True
            found.append(await teller.update(other, one, (workers,)))
        return found

    assert await told(1, 5) == [True, True, True, None, None]
    assert await told(2, 4) == [True, True, True, None]
    assert await teller.update(two, two, (2,)) is False
