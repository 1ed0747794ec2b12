/*
 * keyfile_credential.c: where systemd puts the key file that it hands to a service. How a key file
 * is read is keyfile_load.c's.
 */
#include "keyfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CREDENTIAL_KEY "pystuck.key" /* LoadCredential=pystuck.key:... */

struct keyring *keyfile_credential(struct diag *d)
{
	const char *directory = secure_getenv("CREDENTIALS_DIRECTORY");
	struct keyring *keys = NULL;
	char *path = NULL;

	if (directory == NULL || directory[0] == '\0' ||
		asprintf(&path, "%s/%s", directory, CREDENTIAL_KEY) < 0)
		path = NULL;
	if (path == NULL || access(path, F_OK) != 0)
		diag_set(d, PYSTUCK_ENOENT, 0, "no key is among the credentials of the service");
	else
		keys = keyfile_load(path, d);
	free(path);
	return keys;
}
