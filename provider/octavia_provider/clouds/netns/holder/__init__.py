# SPDX-License-Identifier: Apache-2.0
"""The holder: first process of the embedded cloud's network, mount and PID namespaces.

When it ends, the kernel ends all that is in them. The modules use nothing but the standard library: each amphora's and
each host's first process is a fork of this one, and shares its memory.

    __main__     goes behind the walls and serves
    namespaces   the namespaces and mounts
    fabric       bridges, ports, addresses
    containers   the namespaces of one amphora or host, and their first process
    container_init  what that first process does
    credentials  who lives there: users, and what each program is left with
    users        users of the machine that nobody else is, and user namespaces
    roots        file systems: what of the machine is seen
    confinement  what a program may not do, put on before it is executed
    seccomp      the filter of system calls
    limits       how much of the machine a container may use
    interpreter  the Python that agents run with
    amphorae     amphorae: addresses, files, agents
    hosts        hosts: commands and forwarders
    relays       haproxy processes that publish listeners or forward to the machine
    server       the Unix socket on which the control plane asks
    services     one process that is kept running
    wire         lines of JSON with file descriptors
    kernel       system calls that Python 3.11 has no function for
    errors       what goes wrong, as data
"""
