# SPDX-License-Identifier: Apache-2.0
"""The embedded deployment engine: runs a Pulumi program without the ``pulumi`` CLI.

It serves Pulumi's ResourceMonitor and Engine protocols, starts the program and the plugins as the CLI does, and writes
Pulumi's checkpoint format, so a stack moves to the CLI with ``pulumi stack import`` at any time. Its decisions follow
Pulumi's step generator (``pkg/resource/deploy/step_generator.go``) and are tested against recorded runs of it.

    values, urns, propertypath               property values, URNs and property paths; pure
    state, snapshot, journal, backend        resource states, and how they survive a crash
    snapshot_manager                         the snapshot of a run, and its journal
    secrets, project, stacks                 the passphrase secrets provider; Pulumi.yaml; operations on stacks
    plugins, provider, providers             plugin processes, and the provider resources configured in them
    goals, decisions                         what the program registers, and the resulting step; pure
    deployment, registration, removal, refresh   executing the steps
    monitor, program, runner                 the gRPC services, the program's process
    events, display, traffic_effects         what is printed
    run                                      up, preview, destroy, refresh as functions
"""

import os

# before gRPC is loaded, here and in programs and plugins that inherit it: hide gRPC's own log lines
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
