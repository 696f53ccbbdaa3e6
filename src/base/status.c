// SPDX-License-Identifier: MIT
// Names and texts of the status codes, from the one map in winnow/status.h, and the library's
// version.
#include "winnow/status.h"

const char *wn_status_name(wn_status status) {
    switch (status) {
#define NAME_CASE(code, value, text)                                                               \
    case WN_##code:                                                                                \
        return #code;
        WN_STATUS_MAP(NAME_CASE)
#undef NAME_CASE
    }
    return "?";
}

const char *wn_status_text(wn_status status) {
    switch (status) {
#define TEXT_CASE(code, value, text)                                                               \
    case WN_##code:                                                                                \
        return text;
        WN_STATUS_MAP(TEXT_CASE)
#undef TEXT_CASE
    }
    return "unknown status";
}

const char *wn_version(void) {
    return WN_VERSION;
}
