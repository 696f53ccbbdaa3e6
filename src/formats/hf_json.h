// SPDX-License-Identifier: MIT
/* Writing the JSON files of a Hugging Face directory. */
#ifndef WN_FORMATS_HF_JSON_H
#define WN_FORMATS_HF_JSON_H

#include "base/json.h"

/* Writes o, indented by two, as dir/name. Atomic. */
WN_NODISCARD wn_status wn__hf_json_write(const char *dir, const char *name, const wn__json *o);

#endif
