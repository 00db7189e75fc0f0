# SPDX-License-Identifier: Apache-2.0
"""What we ask of Nova and Glance: servers, server groups, flavors, images."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from octavia_provider.model.errors import OctaviaError, Refused, TransientError

from . import failures, names
from .session import Json, Session
from .settings import OpenStackSettings

log = structlog.get_logger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 0.3, 2.0
KNOWN_SECONDS = 60.0
"""What seldom changes (images, flavors, server groups) is asked for again after so long."""
IMAGE = "octavia_image"
"""Metadata of a server: the id of its image, which Nova does not tell where it boots from a volume."""
GONE = ("DELETED", "SOFT_DELETED")
RUNNING = ("ACTIVE", "MIGRATING", "PASSWORD", "VERIFY_RESIZE")
"""In these a server runs, whatever somebody does with it: it is neither waited for nor replaced."""
UNPLUG_SECONDS = 60.0
REBOOT_SECONDS = 120.0
"""Until a server that was started anew runs. That of a compute host which is down never does: it is replaced."""
GROUPS = "groups"
"""Under which the list of server groups is kept."""


class Nova:
    """Nova for one control plane: all that it makes has the tag of ``control_plane_id``."""

    def __init__(self, session: Session, settings: OpenStackSettings, control_plane_id: str) -> None:
        self._session, self._settings = session, settings
        self._ours = names.control_plane(control_plane_id)
        self._known: dict[str, tuple[float, Any]] = {}
        self._grouping = asyncio.Lock()

    # ── servers ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def servers(self, *tags: str) -> list[Json]:
        """Our servers that have these tags too."""
        wanted = ",".join((self._ours, *tags))
        found = await self._session.listed("nova", "/servers/detail", "servers", tags=wanted)
        return [one for one in found if one["status"] not in GONE]

    async def server_of(self, amphora_id: str) -> Json | None:
        """An amphora's server. Where a call took effect late there are two: the later one goes."""
        found = sorted(await self.servers(names.amphora(amphora_id)), key=lambda one: (one["created"], one["id"]))
        for other in found[1:]:
            await self.remove(other["id"], amphora_id)
        return found[0] if found else None

    async def is_of(self, server_id: str, amphora_id: str) -> bool:
        """Whether there is this server, and it is an amphora's. While its cell is down no list has it, and nobody knows: ``TransientError``."""
        found = await self._session.find("nova", f"/servers/{server_id}")
        if found is None:
            return False
        tags = found["server"].get("tags")
        if tags is None:
            message = f"Nova does not show what server {server_id} is: its cell may be down"
            raise TransientError(message, subject=f"amphora {amphora_id}", hint=failures.AGAIN)
        return names.amphora(amphora_id) in tags and self._ours in tags

    async def hidden(self, servers: Sequence[Json], ports: Sequence[Json]) -> list[Json]:
        """Servers that no list shows since their cell is down, as the ports in them tell of them. They count as running: their guests go on, and
        heartbeats tell who does not. Of such a server Nova gives no more than its id, and that only to who asks for it."""
        listed, found = {one["id"] for one in servers}, []
        for port in ports:
            id_ = port["device_id"]
            if names.is_in_own_server(port) and id_ not in listed:
                listed.add(id_)
                there = await self._session.find("nova", f"/servers/{id_}")
                if there is not None and there["server"].get("tags") is None:
                    found.append({"id": id_, "status": "ACTIVE", "tags": port["tags"], "metadata": {}, "image": None})
        return found

    async def make(
        self, load_balancer_id: str, amphora_id: str, ports: Sequence[Json], user_data: str, *,
        flavor: Mapping[str, Any], zone: str | None, group_id: str | None, tags: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> Json:  # fmt: skip
        """Ask for a server; it is not waited for. ``tags``, ``metadata``: more of them."""
        subject = f"amphora {amphora_id}"
        image = await self.image(flavor.get("amp_image_tag") or self._settings.image_tag)
        wanted = flavor.get("compute_flavor") or self._settings.compute_flavor
        if wanted is None:
            raise Refused(
                "no compute flavor is named", subject=subject,
                hint="compute_flavor in the flavor profile, or OCTAVIA_OPENSTACK_COMPUTE_FLAVOR",
            )  # fmt: skip
        body: Json = {
            "name": names.server(amphora_id), "flavorRef": await self.flavor(wanted), "config_drive": True,
            "networks": [{"port": port["id"]} for port in ports], "user_data": user_data, **self._disk(image["id"]),
            "tags": [self._ours, names.load_balancer(load_balancer_id), names.amphora(amphora_id), *tags],
            "metadata": {"octavia_load_balancer": load_balancer_id, "octavia_amphora": amphora_id, IMAGE: image["id"],
                         **(metadata or {})},
        }  # fmt: skip
        more = {"availability_zone": zone or self._settings.compute_zone, "key_name": self._settings.key_name}
        body |= {name: value for name, value in more.items() if value}
        hints = {"os:scheduler_hints": {"group": group_id}} if group_id else {}
        try:
            made = await self._session.make("nova", "/servers", {"server": body, **hints}, subject=subject)
        except OctaviaError:
            self._known.clear()  # a flavor, image or group may be another one meanwhile
            raise
        log.info("openstack.server", amphora=amphora_id, server=made["server"]["id"], image=image["id"])
        return dict(made["server"])

    def _disk(self, image_id: str) -> Json:
        """The image, or a volume that is made of it and goes with the server."""
        if not self._settings.volume_gb:
            return {"imageRef": image_id}
        volume = {
            "boot_index": 0, "uuid": image_id, "source_type": "image", "destination_type": "volume",
            "volume_size": self._settings.volume_gb, "delete_on_termination": True,
        }  # fmt: skip
        if self._settings.volume_type:
            volume["volume_type"] = self._settings.volume_type
        return {"imageRef": "", "block_device_mapping_v2": [volume]}

    async def server(self, server_id: str) -> Json | None:
        """One as it is now."""
        found = await self._session.find("nova", f"/servers/{server_id}")
        return dict(found["server"]) if found else None

    async def active(self, server_id: str, amphora_id: str, *, seconds: float | None = None) -> Json:
        """Wait until a server runs, ``seconds`` at most (default: ``boot_timeout``). One that ends in ERROR is taken away, and its fault is
        raised; one that is in BUILD all the time is taken away too, for another one to be made."""
        seconds = seconds or self._settings.boot_timeout
        deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
        subject = f"amphora {amphora_id}"
        while True:
            server = await self.server(server_id)
            if server is None or server["status"] in GONE:
                raise TransientError("its server was deleted while it booted", subject=subject, hint=failures.AGAIN)
            if server["status"] in RUNNING:
                return server
            if server["status"] == "ERROR":
                words = (server.get("fault") or {}).get("message") or "it is in ERROR, and says no more"
                await self.remove(server_id, amphora_id)
                raise failures.fault(words, subject)
            if server["status"] in ("SHUTOFF", "PAUSED", "SUSPENDED") and not server["OS-EXT-STS:task_state"]:
                await self._act(
                    server_id, {"SHUTOFF": "os-start", "PAUSED": "unpause", "SUSPENDED": "resume"}[server["status"]]
                )
            if time.monotonic() > deadline:
                what = f"its server is {server['status']} after {seconds:g} s"
                if server["status"] == "BUILD":
                    await self._session.delete("nova", f"/servers/{server_id}")
                raise TransientError(what, subject=subject, hint=f"openstack server show {server_id}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def remove(self, server_id: str, amphora_id: str) -> None:
        """The server is gone, when this returns."""
        await self._session.delete("nova", f"/servers/{server_id}")
        deadline, pause = time.monotonic() + self._settings.boot_timeout, FIRST_PAUSE
        while (found := await self._session.find("nova", f"/servers/{server_id}")) is not None:
            server = found["server"]
            if server["status"] in GONE:
                return
            if time.monotonic() > deadline or (
                server["status"] == "ERROR" and not server["OS-EXT-STS:task_state"] and pause == LONGEST_PAUSE
            ):
                words = (server.get("fault") or {}).get("message", "")
                raise TransientError(
                    f"Nova does not delete its server ({server['status']}). {words}", subject=f"amphora {amphora_id}",
                    hint=f"openstack server show {server_id}",
                )  # fmt: skip
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def reboot(self, server_id: str) -> None:
        """Start it anew, at once."""
        await self._session.make("nova", f"/servers/{server_id}/action", {"reboot": {"type": "HARD"}})

    async def _act(self, server_id: str, action: str) -> None:
        await self._session.make("nova", f"/servers/{server_id}/action", {action: None})

    async def plug(self, server_id: str, port_id: str, *, subject: str) -> None:
        """A port into a server that runs; nothing happens where it is in it."""
        there = await self._session.get("nova", f"/servers/{server_id}/os-interface")
        if all(one["port_id"] != port_id for one in there["interfaceAttachments"]):
            body = {"interfaceAttachment": {"port_id": port_id}}
            await self._session.make("nova", f"/servers/{server_id}/os-interface", body, subject=subject)

    async def unplug(self, server_id: str, port_id: str) -> None:
        """A port out of a server that runs; it is let go of when this returns."""
        await self._session.delete("nova", f"/servers/{server_id}/os-interface/{port_id}")
        deadline, pause = time.monotonic() + UNPLUG_SECONDS, FIRST_PAUSE
        while await self._session.find("nova", f"/servers/{server_id}/os-interface/{port_id}") is not None:
            if time.monotonic() > deadline:  # its compute host is down, or its guest does not let go
                message = f"Nova has not detached port {port_id} from server {server_id} within {UNPLUG_SECONDS:g} s"
                raise TransientError(message, subject=f"port {port_id}", hint=failures.AGAIN)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    # ── server groups ────────────────────────────────────────────────────────────────────────────────────────────────
    async def group(self, load_balancer_id: str) -> str | None:
        """The id of its server group, made where there is none; None where none is wanted."""
        if self._settings.affinity == "none":
            return None
        name = names.server_group(load_balancer_id)
        async with self._grouping:
            known = await self._groups()
            if name not in known:
                body = {"server_group": {"name": name, "policy": self._settings.affinity}}
                try:
                    made = await self._session.make("nova", "/os-server-groups", body, subject=f"server group {name}")
                except OctaviaError:
                    self._known.pop(GROUPS)  # it may have been made
                    raise
                known[name] = [str(made["server_group"]["id"])]
            return known[name][0]

    async def forget_group(self, load_balancer_id: str) -> None:
        """Its server group is gone, and those that a call made whose answer was lost."""
        name = names.server_group(load_balancer_id)
        async with self._grouping:
            known = await self._groups()
            if name not in known:  # another control plane may have made it since
                self._known.pop(GROUPS)
                known = await self._groups()
            for id_ in known.get(name, ()):
                await self._session.delete("nova", f"/os-server-groups/{id_}")
            known.pop(name, None)

    async def _groups(self) -> dict[str, list[str]]:
        """Ids by name. Nova cannot be asked for one by its name, so the list is kept for a while."""

        async def ask() -> dict[str, list[str]]:
            found: defaultdict[str, list[str]] = defaultdict(list)
            for one in await server_groups(self._session):
                found[one["name"]].append(one["id"])
            return dict(found)

        known: dict[str, list[str]] = await self._lately(GROUPS, ask)
        return known

    # ── flavors and images ───────────────────────────────────────────────────────────────────────────────────────────
    async def flavor(self, id_or_name: str) -> str:
        """The id of a compute flavor."""

        async def ask() -> list[Json]:
            return await self._session.listed("nova", "/flavors", "flavors")

        there = await self._lately("flavors", ask)
        found = [one["id"] for one in there if id_or_name in (one["id"], one["name"])]
        if not found:
            self._known.pop("flavors")
            raise Refused(f"Nova has no flavor {id_or_name}", subject="compute_flavor", hint="openstack flavor list")
        return str(found[0])

    async def image(self, tag: str) -> Json:
        """The newest active image with this tag: of ``image_owner``, else of this project or public. An administrator sees those of all
        users, who may give one of theirs any tag."""
        await self._session.sign_in()
        owner = self._settings.image_owner
        among: list[Json] = (
            [{"owner": owner}] if owner else [{"owner": self._session.project_id}, {"visibility": "public"}]
        )

        async def newest(whose: Json) -> list[Json]:
            asked = {"tag": tag, "status": "active", "sort": "created_at:desc", "limit": 1, **whose}
            return list((await self._session.get("glance", "/images", **asked))["images"])

        async def ask() -> list[Json]:
            found = [one for there in await asyncio.gather(*map(newest, among)) for one in there]
            return sorted(found, key=lambda one: str(one["created_at"]), reverse=True)

        found = await self._lately(f"image {tag}", ask)
        if not found:
            self._known.pop(f"image {tag}")
            raise Refused(
                f"Glance has no active image with the tag {tag}", subject="amp_image_tag",
                hint=f"openstack image set --tag {tag} IMAGE",
            )  # fmt: skip
        return dict(found[0])

    async def _lately(self, what: str, ask: Any) -> Any:
        known = self._known.get(what)
        if known is None or time.monotonic() - known[0] > KNOWN_SECONDS:
            known = self._known[what] = (time.monotonic(), await ask())
        return known[1]


async def server_groups(session: Session) -> list[Json]:
    """All of them. How many come at once is Nova's choice (``[api] max_limit``), and it does not say that there are more."""
    found: list[Json] = []
    while page := (await session.get("nova", "/os-server-groups", offset=len(found)))["server_groups"]:
        found += page
    return found
