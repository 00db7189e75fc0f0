# SPDX-License-Identifier: Apache-2.0
"""The embedded deployment engine: runs a Pulumi program where no ``pulumi`` is installed.

It serves Pulumi's ResourceMonitor and Engine protocols, starts the program and the plugins as the CLI would, and keeps
Pulumi's own checkpoint format, so a stack moves to the CLI with ``pulumi stack import`` at any time. Its decisions are
those of Pulumi's step generator (``pkg/resource/deploy/step_generator.go``); they are judged by recorded runs of it.

    values, urns, propertypath   the wire's values and names; pure
    state, journal, backend      what is remembered, and how it survives a crash
    secrets, project             the passphrase secrets provider; Pulumi.yaml and Pulumi.<stack>.yaml
    plugins, providers           plugin processes, and the provider resources configured in them
    goals, decisions             what the program asks for, and what that means for what exists; pure
    deployment, steps, removal   carrying it out
    monitor, program             the gRPC services, the program's process
    display                      what people and programs read
    run, commands                up, preview, destroy, refresh: as functions, as ``octaviactl`` commands
"""

import os

# before gRPC is loaded, here and in the programs and plugins that inherit it: its own log lines are nobody's business
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
