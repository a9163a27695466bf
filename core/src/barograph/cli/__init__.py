"""The command line ``barograph``.

Exit codes, for scripts:

====  =========================================================================
0     done
1     a check failed: doctor found an error, or the server is not ready
2     a mistake in the call or in the configuration
3     the store or the server cannot do it: in use, full, port taken
4     not there: no server runs, or what was named does not exist
70    a defect in Barograph or in a plugin's command
130   interrupted before it was done (or before the server was ready)
====  =========================================================================
"""

from barograph.cli.group import main

__all__ = ["main"]
