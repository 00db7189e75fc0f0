# SPDX-License-Identifier: Apache-2.0
"""TLS as clients and members see it."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
from pathlib import Path
from typing import Any

import pytest

import pem

from .installation import Installation, Stack, until
from .tls_client import Handshakes, ask, context, curl, refused

MEMBER = Path(__file__).with_name("tls_member.py").read_text()
# By TLS it listens before: who is not waited for is answered 503, and that is an answer too.
LISTENS = "import socket, sys; socket.create_connection((sys.argv[1], 80), 10).close()"
ONLY_12 = {"oldest": ssl.TLSVersion.TLSv1_2, "newest": ssl.TLSVersion.TLSv1_2}
ONLY_13 = {"oldest": ssl.TLSVersion.TLSv1_3, "newest": ssl.TLSVersion.TLSv1_3}
HEADERS = dict.fromkeys(
    ("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-SSL-Client-Verify", "X-SSL-Client-Has-Cert",
     "X-SSL-Client-DN", "X-SSL-Client-CN", "X-SSL-Issuer", "X-SSL-Client-SHA1", "X-SSL-Client-Not-Before",
     "X-SSL-Client-Not-After"), "true",
)  # fmt: skip


def container(site: Installation, name: str, **content: Any) -> str:
    made = site.create("tls_container", name=name, **content)
    assert made["provisioning_status"] == "ACTIVE", made
    return str(made["id"])


def host(stack: Stack, name: str, **environment: str) -> dict[str, Any]:
    made = stack.site.create(
        "local_host", name=name, network_id=stack.network["id"], command=["python3", "-c", MEMBER], user="root",
        environment={"NAME": name, **environment},
    )  # fmt: skip
    assert made["provisioning_status"] == "ACTIVE", made
    listens = ("python3", "-c", LISTENS, made["address"])
    until(lambda: stack.site.inside(*listens).returncode == 0, what=f"{name} to listen")
    return made


def begin(site: Installation) -> Stack:
    stack = Stack(site)
    stack.network = site.create("local_network", name="net")
    stack.load_balancer = site.create("load_balancer", name="lb", vip_network_id=stack.network["id"])
    return stack


def listener(stack: Stack, port: int = 443, **values: Any) -> dict[str, Any]:
    made = stack.site.create(
        "listener", loadbalancer_id=stack.load_balancer["id"],
        **{"name": f"port{port}", "protocol": "TERMINATED_HTTPS", "protocol_port": port, **values},
    )  # fmt: skip
    assert made["provisioning_status"] == "ACTIVE", made
    return made


def pool(stack: Stack, server: dict[str, Any], port: int = 80, **values: Any) -> dict[str, Any]:
    made = stack.site.create(
        "pool", loadbalancer_id=stack.load_balancer["id"],
        **{"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", **values},
    )  # fmt: skip
    member = stack.site.create("member", parent=made["id"], address=server["address"], protocol_port=port)
    for one in (made, member):
        assert one["provisioning_status"] == "ACTIVE", one
    return made


def update(site: Installation, kind: str, id_: str, **values: Any) -> dict[str, Any]:
    done = site.update(kind, id_, **values)
    assert done["provisioning_status"] == "ACTIVE", done
    return done


def served(url: str, **options: Any) -> bool:
    return not refused(url, **options)


def member_status(site: Installation, behind: dict[str, Any]) -> str:
    (member,) = site.get("pool", behind["id"])["members"]
    return str(site.get("member", member["id"], parent=behind["id"])["operating_status"])


@pytest.mark.covers(
    "listener.protocol=TERMINATED_HTTPS", "listener.protocol=HTTPS", "listener.default_tls_container_ref",
    "listener.sni_container_refs", "listener.tls_ciphers", "listener.tls_versions=TLSv1.2",
    "listener.tls_versions=TLSv1.3", "listener.alpn_protocols=h2", "listener.alpn_protocols=http/1.1",
    "listener.alpn_protocols=http/1.0", "listener.hsts_max_age", "listener.hsts_include_subdomains",
    "listener.hsts_preload", "listener.insert_headers", "pool.protocol=HTTPS", "pool.loadbalancer_id",
    "tls_container.certificate", "tls_container.private_key", "tls_container.passphrase",
    "tls_container.intermediates",
)  # fmt: skip
def test_what_clients_negotiate(site: Installation) -> None:
    """SNI, chain, versions, ciphers, ALPN, HTTP/2, HSTS, X-Forwarded-Proto; and passthrough to a member's own TLS."""
    root = pem.authority("root")
    middle = pem.authority("middle", root)
    a, b, rsa = pem.make("a.test", middle), pem.make("b.test", root), pem.make("rsa.test", root, rsa_bits=2048)
    own = pem.make("own.test", root)
    stack = begin(site)
    m1 = host(stack, "m1", PAIR=own.pem + own.key_pem)
    plain = pool(stack, m1)
    ids = {
        "a": container(site, "a", certificate=a.pem, private_key=a.sealed_key("päss"), passphrase="päss", intermediates=middle.pem),
        "b": container(site, "b", **b.container()),
        "rsa": container(site, "rsa", **rsa.container()),
    }  # fmt: skip
    web = listener(
        stack, default_pool_id=plain["id"], insert_headers={"X-Forwarded-Proto": "true"},
        default_tls_container_ref=f"https://keys.example/v1/containers/{ids['a']}",
        sni_container_refs=[ids["b"], ids["rsa"]], hsts_max_age=86400, hsts_include_subdomains=True, hsts_preload=True,
    )  # fmt: skip
    url = str(web["url"])
    assert url.startswith("https://")
    seen = until(lambda: served(url) and ask(url, trust=root))
    assert (seen.common_name, seen.version, seen.alpn) == ("a.test", "TLSv1.3", "http/1.1")
    assert seen.said["headers"]["x-forwarded-proto"] == "https"
    assert seen.headers["strict-transport-security"] == "max-age=86400; includeSubDomains; preload"
    assert [ask(url, name).common_name for name in ("b.test", "rsa.test", "other.test", None)] == [
        "b.test", "rsa.test", "a.test", "a.test",
    ]  # fmt: skip
    assert ask(url, "b.test", alpn=("h2", "http/1.0")).alpn == "h2"
    assert ask(url, "b.test", alpn=("http/1.0",)).alpn == "http/1.0"
    assert ask(url, "b.test", alpn=()).alpn is None
    assert [curl(url, "a.test", root, how)[0] for how in ("--http2", "--http1.1")] == ["2", "1.1"]
    assert ask(url, **ONLY_12).cipher.startswith("ECDHE-ECDSA-")
    assert ask(url, "rsa.test", **ONLY_12).cipher.startswith("ECDHE-RSA-")
    assert refused(url, **ONLY_12, ciphers="ECDHE-ECDSA-AES128-SHA256")

    strict = {"tls_ciphers": "TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256", "alpn_protocols": ["http/1.1"]}
    update(site, "listener", web["id"], **strict)
    assert (ask(url).cipher, ask(url, "rsa.test", **ONLY_12).cipher) == (
        "TLS_AES_128_GCM_SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
    )
    assert curl(url, "rsa.test", root, "--http2")[0] == "1.1"
    update(site, "listener", web["id"], tls_versions=["TLSv1.3"])
    assert ask(url).version == "TLSv1.3"
    assert refused(url, **ONLY_12)
    update(site, "listener", web["id"], tls_versions=["TLSv1.2"], tls_ciphers=None, hsts_max_age=None,
           hsts_include_subdomains=False, hsts_preload=False)  # fmt: skip
    assert "strict-transport-security" not in ask(url, **ONLY_12).headers
    assert refused(url, **ONLY_13)

    through = pool(stack, m1, 443, protocol="HTTPS")
    passed = listener(stack, 8443, protocol="HTTPS", default_pool_id=through["id"])
    seen = until(lambda: served(passed["url"], name="own.test") and ask(passed["url"], "own.test", trust=root))
    assert (seen.serial, seen.said["tls"]["sni"]) == (own.serial, "own.test")


@pytest.mark.covers(
    "listener.client_authentication=OPTIONAL", "listener.client_authentication=MANDATORY",
    "listener.client_ca_tls_container_ref", "listener.client_crl_container_ref", "listener.insert_headers",
    "tls_container.ca_certificates", "tls_container.crl",
)  # fmt: skip
def test_clients_show_certificates(site: Installation) -> None:
    """OPTIONAL and MANDATORY, the X-SSL headers, revocation that holds at once (also for resumed sessions), new CAs."""
    ca, stranger = pem.authority("ca one"), pem.authority("ca two")
    alice, bob, eve = pem.make("alice", ca), pem.make("bob", ca), pem.make("eve", stranger)
    stack = begin(site)
    plain = pool(stack, host(stack, "m1"))
    cert = container(site, "cert", **pem.make("a.test").container())
    authorities = container(site, "ca", ca_certificates=ca.pem)
    web = listener(
        stack, default_pool_id=plain["id"], default_tls_container_ref=cert, insert_headers=HEADERS,
        client_authentication="OPTIONAL", client_ca_tls_container_ref=authorities,
    )  # fmt: skip
    url = str(web["url"])
    until(lambda: served(url))
    said = ask(url, client=alice).said["headers"]
    assert {k: v for k, v in said.items() if k.startswith("x-ssl-") and "not" not in k} == {
        "x-ssl-client-verify": "0", "x-ssl-client-has-cert": "1", "x-ssl-client-dn": "/CN=alice",
        "x-ssl-client-cn": "alice", "x-ssl-issuer": "/CN=ca one",
        "x-ssl-client-sha1": alice.certificate.fingerprint(pem.hashes.SHA1()).hex().upper(),
    }  # fmt: skip
    ends = alice.certificate.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
    assert said["x-ssl-client-not-after"] == ends
    assert ask(url).said["headers"]["x-ssl-client-has-cert"] == "0"
    assert "unknown ca" in refused(url, client=eve)

    revoked = container(site, "crl", crl=pem.crl(ca))
    update(site, "listener", web["id"], client_authentication="MANDATORY", client_crl_container_ref=revoked)
    assert "certificate required" in refused(url)
    workers = site.workers()
    kept = {how: context(client=bob, **options) for how, options in (("1.2", ONLY_12), ("1.3", ONLY_13))}
    sessions = {how: ask(url, using=using).session for how, using in kept.items()}
    update(site, "tls_container", revoked, crl=pem.crl(ca, bob))
    assert "revoked" in refused(url, client=bob)
    assert all(refused(url, using=using, session=sessions[how]) for how, using in kept.items())
    assert ask(url, client=alice).status == 200
    update(site, "tls_container", revoked, crl=pem.crl(ca) + pem.crl(stranger))
    update(site, "tls_container", authorities, ca_certificates=ca.pem + stranger.pem)
    assert [ask(url, client=one).said["headers"]["x-ssl-client-cn"] for one in (bob, eve)] == ["bob", "eve"]
    assert site.workers() == workers  # all of it without a reload
    update(site, "listener", web["id"], timeout_client_data=40_000)  # a reload
    assert site.workers() != workers
    assert ask(url, client=eve).status == 200


@pytest.mark.covers("tls_container.certificate", "tls_container.private_key", "listener.sni_container_refs")
def test_a_new_certificate_under_load__no_handshake_fails__no_worker_changes(site: Installation) -> None:
    root = pem.authority("root")
    first, second, third = (pem.make("a.test", root) for _ in range(3))
    stack = begin(site)
    plain = pool(stack, host(stack, "m1"))
    cert = container(site, "cert", **first.container())
    web = listener(stack, default_pool_id=plain["id"], default_tls_container_ref=cert)
    url = str(web["url"])
    until(lambda: served(url))
    workers = site.workers()
    with Handshakes(url, root) as load:
        shown = update(site, "tls_container", cert, **second.container())
        assert shown["serial_number"] == second.serial
        assert ask(url, trust=root).serial == second.serial
        load.more()
        extra = pem.make("b.test", root)
        more = container(site, "more", **extra.container())
        update(site, "listener", web["id"], sni_container_refs=[more])
        assert ask(url, "b.test", trust=root).serial == extra.serial
        extra = pem.make("b.test", root)
        update(site, "tls_container", more, **extra.container())
        assert ask(url, "b.test", trust=root).serial == extra.serial
        update(site, "listener", web["id"], sni_container_refs=[])
        assert ask(url, "b.test").common_name == "a.test"
        site.delete("tls_container", more)
        load.more()
        assert site.workers() == workers
        update(site, "listener", web["id"], timeout_client_data=40_000)  # a reload: what was told is in the files too
        assert site.workers() != workers
        assert ask(url, trust=root).serial == second.serial
        update(site, "tls_container", cert, **third.container())
        load.more()
    assert load.failures == []
    assert load.serials == [first.serial, second.serial, third.serial]


@pytest.mark.covers(
    "pool.tls_enabled", "pool.tls_container_ref", "pool.ca_tls_container_ref", "pool.crl_container_ref",
    "pool.tls_ciphers", "health_monitor.type=HTTPS", "tls_container.ca_certificates", "tls_container.crl",
)  # fmt: skip
def test_members_by_tls(site: Installation) -> None:
    """Verified and not, with a client certificate, the client's SNI, versions and ciphers, revoked members."""
    ca, other = pem.authority("members"), pem.authority("others")
    pair, me = pem.make("a.test", ca), pem.make("the balancer", ca)
    stack = begin(site)
    server = host(stack, "m1", PAIR=pair.pem + pair.key_pem, CA=ca.pem)
    behind = pool(
        stack, server, 443, tls_enabled=True, tls_versions=["TLSv1.2"], tls_ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"
    )
    cert = container(site, "cert", **pem.make("a.test").container())
    web = listener(stack, default_pool_id=behind["id"], default_tls_container_ref=cert)
    clear = listener(stack, 80, protocol="HTTP", default_pool_id=behind["id"])
    url = str(web["url"])
    seen = until(lambda: served(url) and (answer := ask(url)).status == 200 and answer)
    assert seen.said["tls"] == {
        "version": "TLSv1.2", "cipher": "ECDHE-ECDSA-AES128-GCM-SHA256", "alpn": "http/1.1", "sni": "a.test", "client": None,
    }  # fmt: skip
    trusted = container(site, "trusted", ca_certificates=ca.pem)
    mine = container(site, "mine", **me.container())
    update(
        site,
        "pool",
        behind["id"],
        tls_versions=None,
        tls_ciphers=None,
        tls_container_ref=mine,
        ca_tls_container_ref=trusted,
    )
    tls = ask(url).said["tls"]
    assert (tls["version"], tls["client"]) == ("TLSv1.3", "the balancer")
    assert ask(url, "b.test").status == 503  # the member's certificate is for another name than the client asked for
    from .installation import ask as ask_in_the_clear

    assert ask_in_the_clear(clear["url"].replace("https", "http"))[0] == 200
    workers = site.workers()
    update(site, "tls_container", trusted, ca_certificates=other.pem)
    assert ask(url).status == 503
    update(site, "tls_container", trusted, ca_certificates=ca.pem)
    assert ask(url).status == 200
    assert site.workers() == workers
    # an HTTPS check verifies as the traffic does; "verify none" of a check would hold for both
    site.create(
        "health_monitor", pool_id=behind["id"], type="HTTPS", delay=1, timeout=1, max_retries=1, max_retries_down=1
    )
    until(lambda: member_status(site, behind) == "ONLINE")
    assert (ask(url).status, ask(url, "b.test").status) == (200, 503)
    update(site, "tls_container", trusted, ca_certificates=other.pem)
    until(lambda: member_status(site, behind) == "ERROR")
    update(site, "tls_container", trusted, ca_certificates=ca.pem)
    until(lambda: member_status(site, behind) == "ONLINE")
    assert ask(url).status == 200
    revoked = container(site, "revoked", crl=pem.crl(ca, pair))
    update(site, "pool", behind["id"], crl_container_ref=revoked)
    assert ask(url).status == 503
    update(site, "tls_container", revoked, crl=pem.crl(ca))
    until(lambda: ask(url).status == 200)
    # without a certificate of its own, haproxy keeps what it has read until it is reloaded
    update(site, "pool", behind["id"], tls_container_ref=None)
    until(lambda: ask(url).status == 200)
    update(site, "tls_container", revoked, crl=pem.crl(ca, pair) + pem.crl(other))
    update(site, "tls_container", trusted, ca_certificates=other.pem + ca.pem)  # a rotation begins
    assert ask(url).status == 503
    update(site, "tls_container", revoked, crl=pem.crl(ca) + pem.crl(other))
    until(lambda: ask(url).status == 200)
    update(site, "pool", behind["id"], crl_container_ref=None)
    update(site, "tls_container", trusted, ca_certificates=other.pem)
    assert ask(url).status == 503


def test_keys_are_nowhere_in_the_clear__and_come_again_after_a_reboot(site: Installation) -> None:
    pair = pem.make("a.test")
    stack = begin(site)
    cert = container(
        site, "cert", certificate=pair.pem, private_key=pair.sealed_key("hush hush"), passphrase="hush hush"
    )
    web = listener(stack, default_tls_container_ref=cert)
    url = str(web["url"])
    until(lambda: served(url))
    secrets = [b"hush hush", *(line.encode() for line in pair.key_pem.splitlines()[1:-1])]
    secrets += [line.encode() for line in pair.sealed_key("hush hush").splitlines()[1:-1]]
    kept = [path for path in site.home.rglob("*") if path.is_file()]
    assert any(path.name == "newest.json" for path in kept)
    for path in (*kept, *Path("/proc").glob("[0-9]*/cmdline")):
        with contextlib.suppress(OSError):
            assert not any(secret in path.read_bytes() for secret in secrets), path
    root = Path(f"/proc/{site.workers()[0]}/root")
    (files,) = root.glob("run/octavia-amphora/*/files")
    assert {path.suffix for path in files.iterdir()} == {".pem", ".list"}
    mounts = Path(f"/proc/{site.workers()[0]}/mounts").read_text().splitlines()
    assert [line.split()[2] for line in mounts if line.split()[1] == "/run/octavia-amphora"] == ["tmpfs"]

    # a reboot: what was in memory is gone, and so are the processes
    for path in (*files.iterdir(), *(files.parent / "contents").iterdir()):
        path.unlink()
    for pid in (*site.masters(), *site.workers(), site.agent()):
        with contextlib.suppress(ProcessLookupError):  # it went with its master
            os.kill(pid, signal.SIGKILL)
    until(lambda: served(url), what="the control plane to push the whole again")
    assert ask(url).serial == pair.serial
