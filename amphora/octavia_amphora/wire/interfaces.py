# SPDX-License-Identifier: Apache-2.0
"""What the interfaces of an amphora are to be like, where its agent configures them: by MAC address, as the cloud's ports are known."""

from __future__ import annotations

import msgspec


class Address(msgspec.Struct, frozen=True, omit_defaults=True):
    """``address``: with the prefix of its subnet (``10.0.0.5/24``). ``gateway``: the subnet's router. ``shared``: VRRP gives it to the
    interface and takes it away; it is on the loopback all the time, so that servers can listen on it."""

    address: str
    gateway: str | None = None
    shared: bool = False


class Interface(msgspec.Struct, frozen=True, omit_defaults=True):
    """One interface. It has these addresses and no others; the first gateway of each family is its router."""

    mac: str
    mtu: int = 1500
    addresses: tuple[Address, ...] = ()
