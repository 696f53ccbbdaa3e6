// SPDX-License-Identifier: MIT
// Samples on a GPU. Power moves its clock within milliseconds, so what ran before a sample is part
// of the result: every batch of a burst begins on a rested chip, a sustained one long after its
// start.
#include "base/cpu.h"
#include "base/fail.h"
#include "bench/gpu.h"

#include <stdlib.h>
#include <time.h>

#define REST      25e-3 // seconds of sleep before a batch
#define BATCH     4e-3  // seconds of a batch
#define SHORT     30e-6 // runs below this are replayed from graphs
#define SUSTAINED 0.8   // seconds of a sustained sample, of which the second half counts

enum { GRAPH_RUNS = 32, GUESSES = 5 };

// What is queued as one: a run, or a graph of several.
typedef struct unit {
    wn__entry *entry;
    wn__cuda_graph *graph; // NULL: a run
    int runs;
    double seconds; // of a unit, about
} unit;

static void sleep_for(double seconds) {
    struct timespec t = {.tv_nsec = (long)(seconds * 1e9)};
    (void)nanosleep(&t, NULL);
}

static wn_status queue(wn__gpu_bench *g, const unit *u, long count) {
    for (long i = 0; i < count; i++)
        WN_TRY(u->graph != NULL ? wn__cuda_graph_run(g->d, u->graph)
                                : u->entry->lane.run(u->entry->lane.ctx));
    return WN_OK;
}

// Seconds of `count` units.
static wn_status time_units(wn__gpu_bench *g, const unit *u, long count, double *seconds) {
    WN_TRY(wn__cuda_time_start(g->d));
    WN_TRY(queue(g, u, count));
    return wn__cuda_time_stop(g->d, seconds);
}

// Every copy of the data has its turn, and short runs go on for a while.
static wn_status capture(wn__cell *c, unit *u) {
    wn__gpu_bench *g = c->suite->gpu;
    const int copies = u->entry->copies > 0 ? u->entry->copies : 1;
    const int runs = (GRAPH_RUNS + copies - 1) / copies * copies;
    WN_TRY(wn__cuda_capture_begin(g->d));
    wn_status status = WN_OK;
    for (int i = 0; i < runs && status == WN_OK; i++)
        status = u->entry->lane.run(u->entry->lane.ctx);
    wn__cuda_graph *graph = NULL;
    wn_status ended = wn__cuda_capture_end(g->d, &graph);
    if (status == WN_OK && ended == WN_OK) {
        u->graph = graph;
        u->runs = runs;
        u->seconds *= runs;
        return WN_OK;
    }
    wn__cuda_graph_free(g->d, graph);
    return wn__suite_note(c->suite, "%s is not replayed from a graph: %.200s", u->entry->name,
                          wn_last_error());
}

// Seconds of a run from the host: the least of a few, for a host that was interrupted makes a short
// run look long, and what looks long is not replayed from a graph.
static wn_status guess(wn__gpu_bench *g, unit *u) {
    for (int i = 0; i < GUESSES; i++) {
        double seconds = 0;
        WN_TRY(time_units(g, u, 4, &seconds));
        if (i == 0 || seconds / 4 < u->seconds) u->seconds = seconds / 4;
    }
    return WN_OK;
}

static wn_status prepare(wn__cell *c, unit *u) {
    wn__gpu_bench *g = c->suite->gpu;
    double seconds = 0;
    u->runs = 1;
    WN_TRY(queue(g, u, 1)); // code is loaded, plans are made, data refused
    WN_TRY(wn__gpu_finish(g->gpu));
    WN_TRY(guess(g, u));
    if (u->seconds < SHORT) WN_TRY(capture(c, u));
    WN_TRY(queue(g, u, 1));
    WN_TRY(wn__gpu_finish(g->gpu));
    WN_TRY(time_units(g, u, 2, &seconds));
    u->seconds = seconds / 2;
    return WN_OK;
}

// The clock is read while the batch that is thrown away runs: asking takes the driver's time, and a
// burst is too short for its power, which is counted in steps of a tenth of a second.
static wn_status burst(wn__gpu_bench *g, unit *u, bool counts, double *seconds) {
    long count = u->seconds > 0 ? (long)(BATCH / u->seconds) : 1;
    count = count < 1 ? 1 : count > 4096 ? 4096 : count;
    double took = 0;
    sleep_for(REST);
    if (!counts) {
        WN_TRY(queue(g, u, count));
        u->entry->megahertz = wn__nvml_megahertz(&g->nvml);
        WN_TRY(wn__cuda_wait(g->d));
        return wn__gpu_finish(g->gpu);
    }
    WN_TRY(time_units(g, u, count, &took));
    *seconds = took / (double)count / u->runs;
    return wn__gpu_finish(g->gpu);
}

// Its joules are of the whole sample, for they are counted in steps of a tenth of a second.
static wn_status sustain(wn__gpu_bench *g, unit *u, bool counts, double *seconds) {
    long half = u->seconds > 0 ? (long)(SUSTAINED / 2 / u->seconds) : 1;
    half = half < 1 ? 1 : half > 100000 ? 100000 : half;
    const double before = wn__nvml_joules(&g->nvml), start = wn__clock();
    double took = 0;
    WN_TRY(queue(g, u, half));
    WN_TRY(wn__cuda_wait(g->d));
    WN_TRY(wn__cuda_time_start(g->d));
    WN_TRY(queue(g, u, half));
    const double clock = wn__nvml_megahertz(&g->nvml); // while it works
    WN_TRY(wn__cuda_time_stop(g->d, &took));
    const double joules = wn__nvml_joules(&g->nvml) - before;
    if (counts) {
        u->entry->megahertz = clock;
        u->entry->joules += joules;
        u->entry->ran += joules > 0 ? wn__clock() - start : 0;
    }
    *seconds = took / (double)half / u->runs;
    return wn__gpu_finish(g->gpu);
}

// Round r of all entries: bursts begin one further along each time, the sustained turn around, and
// neither may be the first after a pause.
static wn_status take_round(wn__cell *c, unit *u, int r) {
    wn__gpu_bench *g = c->suite->gpu;
    double thrown;
    for (int i = 0; i < c->count; i++) {
        int at = g->sustained ? (r % 2 == 0 ? i : c->count - 1 - i) : (i + r + 1) % c->count;
        double *to = r < 0 ? &thrown : u[at].entry->lane.seconds + r;
        WN_TRY(g->sustained ? sustain(g, u + at, r >= 0, to) : burst(g, u + at, r >= 0, to));
        if (g->sustained && r < 0) break; // it has heated the chip
    }
    return WN_OK;
}

wn_status wn__gpu_sample(wn__cell *c) {
    wn__gpu_bench *g = c->suite->gpu;
    unit u[WN__ENTRIES] = {{0}};
    wn_status status = WN_OK;
    for (int i = 0; i < c->count && status == WN_OK; i++) {
        u[i].entry = c->entry + i;
        status = prepare(c, u + i);
    }
    for (int r = -1; r < c->suite->repeats && status == WN_OK; r++)
        status = take_round(c, u, r);
    for (int i = 0; i < c->count; i++)
        wn__cuda_graph_free(g->d, u[i].graph);
    return status;
}
