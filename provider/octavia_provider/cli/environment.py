# SPDX-License-Identifier: Apache-2.0
"""The environment variables that octaviactl and the plugin read: one table, for ``--help`` and docs/reference/octaviactl.md."""

from __future__ import annotations

from collections.abc import Mapping

VARIABLES: Mapping[str, str] = {
    "OCTAVIA_HOME": "the installation's folder: database, keys, sockets, logs. Default: /var/lib/octavia for root, else "
    "$XDG_STATE_HOME/octavia (~/.local/state/octavia). Each home is an installation of its own.",
    "OCTAVIA_ENDPOINT": "URL of a control plane to use instead of the embedded one of the home. Several that share their state are "
    "separated by commas: where one does not answer, the next is asked.",
    "OCTAVIA_STATE": "folder of the stacks' state with octaviactl up. Default: .octavia/state in the project.",
    "PULUMI_CONFIG_PASSPHRASE": "encrypts the secrets in a stack's state, as with the pulumi CLI.",
    "PULUMI_CONFIG_PASSPHRASE_FILE": "a file that holds that passphrase.",
    "OCTAVIA_IDLE_SECONDS": "seconds without any object after which the control plane ends. Default: 60.",
    "OCTAVIA_LOG_LEVEL": "what the control plane logs: debug, info or warning. Default: info.",
    "OCTAVIA_TEMPLATES_DIR": "folder of templates that stand in place of those of haproxy's configuration. The control plane reads it.",
    "OCTAVIA_DATABASE": "URL of a PostgreSQL database that keeps the state, in place of the home's file. The control plane reads it.",
    "OCTAVIA_HEARTBEAT_INTERVAL": "seconds between two heartbeats of an amphora. Default: 1.",
    "OCTAVIA_HEARTBEAT_TIMEOUT": "seconds of silence after which an agent that does not answer either is started anew; three heartbeats have to fit in it. Default: 3.5.",
    "OCTAVIA_AGENT_LOG_LEVEL": "what the agents of amphorae log: debug, info or warning. Default: info.",
    "OCTAVIA_BREAKER_SHARE": "where more than this part of all amphorae (0 to 1) is silent at once, none of them is replaced. Default: 0.5.",
    "OCTAVIA_NAME": "name of a control plane that serves beside others of its home. The control plane reads it.",
    "OCTAVIA_LEASE_SECONDS": "seconds after which other control planes take over from one that says nothing. Default: 15.",
    "OCTAVIA_CLOUD": "where amphorae run: embedded or openstack. The control plane reads it, and doctor, leftovers, purge.",
    "OCTAVIA_OS_CLOUD": "name of the OpenStack cloud in clouds.yaml. Default: OS_CLOUD, or what OS_AUTH_URL and its like say.",
    "OCTAVIA_DRIVER": "`octavia`: the plugin drives an Octavia that somebody else runs. Default: ours.",
    "OS_CLOUD": "name of the OpenStack cloud in clouds.yaml, for the plugin too.",
    "OS_AUTH_URL": "where Keystone is, and its like (OS_USERNAME, OS_PASSWORD, …), where no clouds.yaml is used.",
    "OCTAVIA_LISTEN": "address and port on which Keystone's users are served. The control plane reads it and those below.",
    "OCTAVIA_TLS_CERTIFICATE": "file of the certificate, with its chain, that these are served by (PEM).",
    "OCTAVIA_TLS_KEY": "file of its private key.",
    "OCTAVIA_PUBLIC_URL": "where clients reach the control plane, behind a proxy. Links in answers name it.",
    "OCTAVIA_POLICY_FILE": "rules of oslo.policy (YAML) that stand in place of the defaults.",
    "OCTAVIA_MEMCACHED_SERVERS": "where validated tokens are kept (host:port,…). Default: in the process.",
    "OCTAVIA_LOG_TO": "`file` (of the home) or `stderr`, for a service manager or a container. Default: file.",
    "OCTAVIA_LOG": "`debug`: octaviactl and the plugin write what they do to standard error.",
    "NO_COLOR": "any value: no colours.",
    "XDG_STATE_HOME": "where the home is, for users other than root (XDG Base Directory Specification).",
}


def text() -> str:
    """For ``octaviactl --help``: variables and descriptions, aligned; \\b keeps click from re-wrapping the lines."""
    width = max(map(len, VARIABLES))
    return "\b\nEnvironment:\n" + "\n".join(
        f"  {name:<{width}}  {_short(description)}" for name, description in VARIABLES.items()
    )


def _short(description: str) -> str:
    return description.partition(". ")[0].rstrip(".")
