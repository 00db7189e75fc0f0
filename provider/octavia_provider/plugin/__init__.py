# SPDX-License-Identifier: Apache-2.0
"""The Pulumi provider: a gRPC server process that the engine starts for one preview or update.

main            the process: port, signals, servicer
servicer        the calls of ``pulumirpc.ResourceProvider``
session         the state of one process: configuration, clients, known ids
values          property values on the wire
property_names  protocol_port ↔ protocolPort
inputs          Check: auto-names, violations
language        how the program's language spells attribute names
diffs           Diff: a pure comparison of inputs
outputs         the outputs of a resource, and its inputs as Read reports them
handler         check, diff, create, read, update, delete: what all resources share
resources       each resource: a declaration, and its exceptions
functions       getLoadBalancer, …
config          the provider's own configuration
engine_log      messages and progress for the engine
failures        errors as gRPC statuses
schema          schema.json from the model
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before gRPC is loaded: its log lines would appear as diagnostics
