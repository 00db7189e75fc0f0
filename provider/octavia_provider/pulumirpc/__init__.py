# SPDX-License-Identifier: Apache-2.0
"""Pulumi's wire protocol, for the plugin and the engine: the gRPC stubs and the codec of property values."""
