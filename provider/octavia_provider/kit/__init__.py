# SPDX-License-Identifier: Apache-2.0
"""Tools that know no word of load balancing: paths, ids, logging, waiting."""
