"""Logs by SysLogHandler: by UDP, and to a Unix socket."""

import logging
import logging.handlers
import sys

log = logging.getLogger("client")
log.setLevel(logging.DEBUG)
for address in [(sys.argv[1], int(sys.argv[2])), sys.argv[3]]:
    handler = logging.handlers.SysLogHandler(
        address, facility=logging.handlers.SysLogHandler.LOG_LOCAL3
    )
    log.addHandler(handler)
    log.debug("debug")
    log.warning("gr\u00fc\u00dfe")
    log.critical("two\nlines")
    handler.append_nul = False
    handler.ident = "client: "
    log.error("without a NUL")
    log.removeHandler(handler)
    handler.close()
