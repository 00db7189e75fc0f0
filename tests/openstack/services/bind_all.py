# SPDX-License-Identifier: Apache-2.0
"""A mechanism driver of Neutron for a cloud without agents: it binds every port at once, but on networks that are named so."""

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api

UNBOUND = "-unbound"
"""A network whose name ends so: its ports are not bound, as where the agent of a host is down."""


class BindAll(api.MechanismDriver):
    vif_type = portbindings.VIF_TYPE_OVS

    def initialize(self):
        pass

    @property
    def connectivity(self):
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, context):
        if context.network.current["name"].endswith(UNBOUND):
            return
        segment = context.segments_to_bind[0]
        details = {portbindings.CAP_PORT_FILTER: True}
        context.set_binding(segment[api.ID], self.vif_type, details, status=constants.PORT_STATUS_ACTIVE)


class BindTaps(BindAll):
    """For computes under libvirt: a server has a tap for each port, which somebody else puts on a bridge."""

    vif_type = portbindings.VIF_TYPE_TAP
