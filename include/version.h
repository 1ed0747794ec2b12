/* version.h: the version of pystuck, in one place. */
#ifndef PYSTUCK_VERSION_H
#define PYSTUCK_VERSION_H

#define PYSTUCK_VERSION "0.1.0"

#endif
