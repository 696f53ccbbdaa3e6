// SPDX-License-Identifier: MIT
/* Choices of variants that were measured, by device, driver, op and class of arguments. They are
 * kept in a text file, which another machine can read: one choice a line, fields between tabs.
 * Files of format 1, which have no ways and may lack the times, are read as well. */
#ifndef WN_KERNELS_TUNED_H
#define WN_KERNELS_TUNED_H

#include "kernels/op.h"

enum { WN__CLASS_TEXT = 256, WN__TIMES_TEXT = 2048 };

/* All texts without tabs and line ends. */
typedef struct wn__tuned_line {
    char device[96]; /* "NVIDIA H200", or a processor and its threads */
    char driver[24]; /* "13000", "-" */
    char op[40];     /* "matmul" */
    char class[WN__CLASS_TEXT];
    char variant[40];       /* "cublaslt" */
    char way[WN__WAY_TEXT]; /* of it, "": as it does by itself */
    double seconds;         /* of it */
    char checked[320]; /* the problems on which it agreed with ref, each cut at 90 characters */
    char times[WN__TIMES_TEXT]; /* microseconds of all that were timed: "cublaslt=4.9 sm80=11.2";
                                   empty in files of before */
} wn__tuned_line;

typedef struct wn__tuned {
    wn__tuned_line *line;
    size_t count;
} wn__tuned;

/* Adds the choices of a file. FORMAT names the file, the line and what is wrong with it. */
WN_NODISCARD wn_status wn__tuned_read(wn__tuned *t, const char *path);
/* The same of a text; path appears in messages. */
WN_NODISCARD wn_status wn__tuned_parse(wn__tuned *t, const char *text, const char *path);
void wn__tuned_free(wn__tuned *t); /* safe on a zeroed struct */
/* In place of a choice for the same device, driver, op and class. */
WN_NODISCARD wn_status wn__tuned_put(wn__tuned *t, const wn__tuned_line *line);
/* The file's text, malloc'ed. */
WN_NODISCARD wn_status wn__tuned_text(const wn__tuned *t, char **out);

/* What device and driver are called there. */
void wn__tuned_device(const wn__exec *x, wn__tuned_line *out);
/* The class of (checked) arguments: dtypes, and sizes rounded up to powers of two, 't' behind those
 * of transposed matrices: "a=bf16:16x4096,b=bf16:4096x4096t,c=bf16:16x4096". Where an operand is
 * given that may be read in place of another (0 times in costs.def) sizes are as they are: which of
 * the two is faster changes from one tile to the next. */
void wn__class_of(wn__op op, const void *args, char out[WN__CLASS_TEXT]);
/* The choice for these arguments on x, else, where an operand is given that may be read in place of
 * another, that for the others alone; NULL if there is none. */
const wn__tuned_line *wn__tuned_find(const wn__exec *x, wn__op op, const void *args);
/* Seconds of a variant when the choice was made, 0: it was not timed. */
double wn__tuned_seconds(const wn__tuned_line *l, const char *variant);

#endif
