/*
 * admit.h: asks the audit hooks of the program, by sys.audit("pystuck.connect", who, role), whether a client may come in.
 */
#ifndef PYSTUCK_PYTHON_ADMIT_H
#define PYSTUCK_PYTHON_ADMIT_H

#include "msg.h"
#include "port.h"

/*
 * Net thread, no GIL; returns at once. 0: there is no audit hook, nothing is asked. 1: a lane claims PORT_ADMIT, asks and says
 * port_done. -1: no memory, no thread.
 */
int admit_request(struct port *port, const char *who, enum role role);

#endif
