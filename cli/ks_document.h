// SPDX-License-Identifier: MIT
/* The program that winnow ks fit follows. */
#ifndef WN_CLI_KS_DOCUMENT_H
#define WN_CLI_KS_DOCUMENT_H

#include "options.h"
#include <winnow/ks.h>

/* --weight_path, spelled with an underscore, is that program's way of being called: what it says
 * by default then holds here, where no option says otherwise, and a line says so. */
void ks_document(const options *o, wn_ks_options *k);

#endif
