# SPDX-License-Identifier: Apache-2.0
"""The bad inputs of what operators set up, flavors and availability zones: rows of the table in ``bad_inputs``."""

from __future__ import annotations

from octavia_provider.model.errors import Path

NAMED = ("flavor_profile", "flavor", "availability_zone_profile", "availability_zone")
# text, where the violation is in it, words of the message
FLAVOR_DATA: tuple[tuple[str, Path, str], ...] = (
    ("{", (), "is not JSON"),
    ('{"sriov_vip": true, "sriov_vip": false}', (), 'has "sriov_vip" more than once'),
    ("[" * 4000, (), "is not JSON"),
    ("[]", (), "must be an object"),
    ('{"colour": "red"}', ("colour",), "is not an attribute that can be given"),
    ('{"loadbalancer_topology": "TRIPLE"}', ("loadbalancer_topology",), "is not one of SINGLE, ACTIVE_STANDBY"),
    ('{"vrrp_advertisement_interval": 0.05}', ("vrrp_advertisement_interval",), "must be at least 0.1"),
    ('{"vrrp_advertisement_interval": 11}', ("vrrp_advertisement_interval",), "must be at most 10"),
    ('{"vrrp_advertisement_interval": "1"}', ("vrrp_advertisement_interval",), "must be a number"),
    ('{"compute_flavor": 5}', ("compute_flavor",), "must be a string"),
    ('{"compute_flavor": "a\\nb"}', ("compute_flavor",), "control characters"),
    ('{"amp_image_tag": "a\\nb"}', ("amp_image_tag",), "control characters"),
    ('{"sriov_vip": "yes"}', ("sriov_vip",), "must be a boolean"),
)
ZONE_DATA: tuple[tuple[str, Path, str], ...] = (
    ("nova", (), "is not JSON"),
    ('{"colour": "red"}', ("colour",), "is not an attribute that can be given"),
    ('{"compute_zone": "a\\nb"}', ("compute_zone",), "control characters"),
    ('{"volume_zone": "a\\nb"}', ("volume_zone",), "control characters"),
    ('{"management_network": "net"}', ("management_network",), "is not a UUID"),
    ('{"valid_vip_networks": ["net"]}', ("valid_vip_networks", 0), "is not a UUID"),
)
