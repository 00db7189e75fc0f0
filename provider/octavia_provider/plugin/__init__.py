# SPDX-License-Identifier: Apache-2.0
"""The Pulumi provider: a process that the engine starts for one preview or update, and speaks gRPC to.

main       the process: port, signals, servicer
proto      Pulumi's stubs, loaded cheaply
servicer   the calls of ``pulumirpc.ResourceProvider``
values     property values on the wire
spelling   protocol_port ↔ protocolPort
inputs     Check: auto-names, violations
language   how the program spells attributes
diffs      Diff: a pure comparison of inputs
outputs    what a resource shows, and what of it is an input (Read)
hooks      check, diff, create, read, update, delete: what all resources share
resources  each resource: a declaration and little else
functions  getLoadBalancer, …
config     the provider's own configuration
reporting  messages and progress to the engine
failures   errors as gRPC tells them
schema     schema.json from the model
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before gRPC is loaded: what it logs would be shown as diagnostics
