/* version.h: the version of pystuck, in one place: builds, packages and documents take it from here. */
#ifndef PYSTUCK_VERSION_H
#define PYSTUCK_VERSION_H

#define PYSTUCK_VERSION "0.9.0"

#endif
